//! Messages of the exchange protocol.

use federation_agent::exchange::{
    CommandBody, DecodeError, Limits, Message, ReplyBody, Status, decode, encode, frames,
};

use super::{is_marked, sound};

/// What is read can be written; what was written is read as the same, byte for byte, also by controllers that cut a
/// message at the first `;;`.
pub(super) fn run(input: &[u8]) {
    let limits = Limits::default();
    let message = match decode(input) {
        Ok(message) => message,
        Err(DecodeError::NotAMessage) => return,
        Err(error @ DecodeError::Json(_)) => return sound(input, &error.to_string()),
    };
    // Only what is not secret may be shown.
    let shown = format!("{message:?}");
    assert!(shown.len() <= 16 * input.len() + 1_024, "{} bytes are shown of {}", shown.len(), input.len());
    let Ok(first) = encode(&message, &limits) else { panic!("{} bytes are too long", input.len()) };
    // Control characters in short may take six bytes each.
    assert!(first.len() <= 16 * input.len() + 1_024, "{} bytes become {}", input.len(), first.len());
    assert_eq!(first.windows(2).filter(|pair| pair == b";;").count(), 2, "{}", String::from_utf8_lossy(&first));
    let again = decode(&first).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&first)));
    match (&message, &again) {
        (Message::Command(one), Message::Command(other)) => assert_eq!(one.id, other.id),
        (Message::Reply(one), Message::Reply(other)) => {
            assert_eq!((&one.command_id, &one.error), (&other.command_id, &other.error));
        }
        _ => panic!("a command and a reply are told apart"),
    }
    let twice = encode(&again, &limits).expect("it has been written before");
    // A status that is not listed is written as ERROR, and a command whose payload is not understood without it: then
    // the second writing is the last word.
    let third = decode(&twice).map(|message| encode(&message, &limits).expect("it has been written before"));
    assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&third.expect("it has been read before")));
    let is_understood = match &message {
        Message::Command(command) => !matches!(command.body, CommandBody::Unknown { .. }),
        Message::Reply(reply) => !matches!(reply.status, Status::Other(_)),
    };
    if is_understood {
        assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(&twice));
    }
    assert!(frames(&first, &limits).all(|frame| frame.len() <= limits.frame));
    assert_eq!(frames(&first, &limits).map(<[u8]>::len).sum::<usize>(), first.len());
    // A key is written, and shown nowhere.
    if let Message::Reply(reply) = &message
        && let ReplyBody::Subscribe(Some(subscribed)) = &reply.body
        && let Some(key) = &subscribed.api_key
        && secrecy::ExposeSecret::expose_secret(key).contains(super::MARK)
        && is_marked(input)
    {
        let elsewhere = [format!("{:?}", subscribed.metadata), subscribed.subscription_id.clone()].concat()
            + &reply.command_id
            + reply.error.as_deref().unwrap_or_default()
            + &format!("{:?}", reply.status);
        assert!(elsewhere.contains(super::MARK) || !shown.contains(super::MARK), "a key is shown: {shown}");
    }
}
