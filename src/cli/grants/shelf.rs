//! The journal as it lies there, also when settings are wrong or absent: all that is needed is the data folder.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::super::{exit::Stop, gateways};
use crate::{
    journal::{Contents, Files, Journal},
    settings::{self, Draft, Environment},
};

/// The journal, and whose grants it may hold.
pub(super) struct Shelf {
    /// What can be read and written.
    pub(super) journal: Journal,
    /// The folder that it is in.
    pub(super) folder: PathBuf,
    /// Whether there is such a folder; the error when nobody can tell.
    pub(super) there: std::io::Result<bool>,
    /// The integrations that the settings name, as far as they could be read: N and the id.
    configured: Vec<(usize, String)>,
    /// The integrations that have pages.
    shelved: BTreeSet<String>,
}

impl Shelf {
    /// Finds it. Makes nothing, and asks no network.
    pub(super) fn find(environment: &Environment) -> Self {
        let Draft { process, integrations, .. } = settings::draft_of_gateways(environment, &gateways::kinds());
        let configured = integrations.into_iter().map(|integration| (integration.index, integration.id)).collect();
        Self::of(&process.data_dir, configured)
    }

    /// That in the data folder `dir`.
    pub(super) fn of(dir: &Path, configured: Vec<(usize, String)>) -> Self {
        let files = Files::new(dir);
        let shelved = files.integrations();
        let there = match &shelved {
            Ok(_) => files.folder().try_exists(),
            Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
        };
        Self {
            folder: files.folder().to_owned(),
            journal: Journal::new(Arc::new(files)),
            there,
            configured,
            shelved: shelved.unwrap_or_default().into_iter().collect(),
        }
    }

    /// The integrations that are meant by `only`: N or an id; all of them without.
    pub(super) fn integrations(&self, only: Option<&str>) -> Result<Vec<String>, Stop> {
        let all: BTreeSet<&String> = self.configured.iter().map(|(_, id)| id).chain(&self.shelved).collect();
        let Some(only) = only else { return Ok(all.into_iter().cloned().collect()) };
        let by_number = self.configured.iter().find(|(index, _)| index.to_string() == only).map(|(_, id)| id);
        let wanted = all.iter().copied().find(|id| *id == only).or(by_number);
        wanted.map(|id| vec![id.clone()]).ok_or_else(|| {
            let there_is = if all.is_empty() {
                "neither the settings nor the journal name any".to_owned()
            } else {
                let numbered = |id: &String| {
                    let index = self.configured.iter().find(|(_, known)| known == id).map(|(index, _)| index);
                    index.map_or_else(|| id.clone(), |index| format!("{index} ({id})"))
                };
                format!("there is: {}", all.into_iter().map(numbered).collect::<Vec<_>>().join(", "))
            };
            Stop::usage(format_args!("--integration {only}: no such integration; {there_is}"))
        })
    }

    /// What the journal knows of each of these.
    pub(super) async fn read(&self, integrations: &[String]) -> Vec<(String, Contents)> {
        let mut read = Vec::new();
        for integration in integrations {
            read.push((integration.clone(), self.journal.read(integration).await));
        }
        read
    }

    /// Why there is nothing to be read, when that is so; a sentence.
    pub(super) fn emptiness(&self) -> String {
        let folder = self.folder.display();
        match &self.there {
            Ok(true) => format!("The journal in {folder} holds no grant."),
            Ok(false) => format!(
                "There is no journal: {folder} does not exist. An agent makes it when it starts; is \
                 FEDERATION_AGENT_DATA_DIR the running agent's, and does the folder outlive its container?"
            ),
            Err(error) => format!("The journal in {folder} cannot be read: {error}"),
        }
    }
}
