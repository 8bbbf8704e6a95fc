//! A command is carried out once, however often it is delivered: the memory of command ids and their replies.
//!
//! Bounded, and replies that hold a key value or a long list are dropped after [`REPLY_KEPT`]: the plane waits 60 s.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::{
    exchange::{Reply, ReplyBody},
    link::Session,
};

/// How long a reply with a key value, or a long one, is kept to be given again.
pub(super) const REPLY_KEPT: Duration = Duration::from_mins(1);

/// How many answered commands are remembered.
const REMEMBERED: usize = 1_024;

/// What is known of command ids.
#[derive(Default)]
pub(super) struct Once {
    entries: HashMap<String, Entry>,
    /// The answered ones, oldest first.
    answered: VecDeque<String>,
}

enum Entry {
    /// Is carried out; these wait for the reply.
    Running(Vec<Session>),
    /// Was carried out, with this reply.
    Answered(Reply),
    /// Was carried out; the reply is not kept any more.
    Carried,
}

/// What a delivered command is.
pub(super) enum Seen {
    /// To be carried out.
    New,
    /// Is carried out; the session will be answered with the others.
    Running,
    /// Was carried out: to be answered with this.
    Answered(Reply),
    /// Was carried out so long ago that its reply is not kept.
    Carried,
}

impl Once {
    /// `key` was delivered on `session`.
    pub(super) fn arrive(&mut self, key: &str, session: &Session) -> Seen {
        match self.entries.get_mut(key) {
            None => {
                self.entries.insert(key.to_owned(), Entry::Running(vec![session.clone()]));
                Seen::New
            }
            Some(Entry::Running(waiting)) => {
                waiting.push(session.clone());
                Seen::Running
            }
            Some(Entry::Answered(reply)) => Seen::Answered(reply.clone()),
            Some(Entry::Carried) => Seen::Carried,
        }
    }

    /// A session that still waits for `key`'s reply.
    pub(super) fn alive(&self, key: &str) -> Option<Session> {
        match self.entries.get(key) {
            Some(Entry::Running(waiting)) => waiting.iter().find(|session| !session.is_gone()).cloned(),
            _ => None,
        }
    }

    /// Takes the sessions that wait for `key`'s reply. When none does any more, `key` is settled in the same step:
    /// with `reply` it counts as answered, without as never delivered.
    pub(super) fn next(&mut self, key: &str, reply: Option<&Reply>) -> Vec<Session> {
        if let Some(Entry::Running(waiting)) = self.entries.get_mut(key)
            && !waiting.is_empty()
        {
            return std::mem::take(waiting);
        }
        let Some(reply) = reply else {
            self.entries.remove(key);
            return Vec::new();
        };
        self.entries.insert(key.to_owned(), Entry::Answered(reply.clone()));
        self.answered.push_back(key.to_owned());
        while self.answered.len() > REMEMBERED {
            if let Some(oldest) = self.answered.pop_front() {
                self.entries.remove(&oldest);
            }
        }
        Vec::new()
    }

    /// A grant of `subscription` is gone: no reply tells of it again. Its SUBSCRIBE stays known as carried out.
    pub(super) fn forget(&mut self, subscription: &str) {
        for entry in self.entries.values_mut() {
            if let Entry::Answered(Reply { body: ReplyBody::Subscribe(Some(told)), .. }) = entry
                && told.subscription_id == subscription
            {
                *entry = Entry::Carried;
            }
        }
    }

    /// Drops the reply of `key`. What made something stays known as carried out; the rest may be carried out again.
    pub(super) fn expire(&mut self, key: &str) {
        match self.entries.get_mut(key) {
            Some(entry @ Entry::Answered(Reply { body: ReplyBody::Subscribe(_), .. })) => *entry = Entry::Carried,
            Some(Entry::Answered(_)) => {
                self.entries.remove(key);
                self.answered.retain(|other| other != key);
            }
            _ => {}
        }
    }
}
