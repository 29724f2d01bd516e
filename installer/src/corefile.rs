//! The configuration of CoreDNS (`Corefile`): names put into the `hosts` blocks of the server blocks that answer for them, and taken
//! out again. Every other byte stays: comments, order, spaces.
//!
//! 1. [`parse`] reads it as CoreDNS does, with the place of each word.
//! 2. [`Corefile::with_names`] decides where each name belongs and what must be inserted, removed or replaced; as a new text, so that
//!    it can be looked at before anything is done.
//! 3. [`Corefile::without_names`] takes out what that put in.
//!
//! What is ours stands between two comments in the `hosts` block. Entries come first in the block: CoreDNS refuses those that
//! follow `fallthrough`. A second `hosts` in a server block is an error to it, so `hosts FILE` gets its names inline.

mod edit;
mod parse;
mod zone;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ferry_model::failure::{Class, Failure};
use ferry_model::host::Host;

use parse::{Block, Statement, parse};

/// A Corefile that was read.
#[derive(Clone, Debug)]
pub(crate) struct Corefile<'a> {
    text: &'a str,
    blocks: Vec<Block>,
}

/// A name, and all addresses that it shall resolve to.
pub(crate) type Entry = (Host, Vec<IpAddr>);

/// What becomes of entries that others made for the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// They stay, and are told.
    Keep,
    /// They go.
    Replace,
}

/// A Corefile with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edited {
    /// Its text.
    pub(crate) text: String,
    /// What others say of names that shall be something else.
    pub(crate) conflicts: Vec<Conflict>,
}

/// A name that somebody else has given other addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Conflict {
    /// The name.
    pub(crate) name: Host,
    /// Where it leads.
    pub(crate) addresses: Vec<IpAddr>,
}

/// Why names cannot be put into a Corefile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CorefileError {
    /// CoreDNS would not read it either.
    #[error("line {line} of the Corefile: {problem}")]
    Broken {
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// Nothing answers for all names.
    #[error("no server block of the Corefile answers for all names (`.:53`)")]
    NoServer,
    /// One of the two comments is missing.
    #[error("the lines that Ferry wrote into the Corefile have lost their first or last comment")]
    Marks,
    /// It answers for other zones only.
    #[error("the `hosts` of the Corefile that would answer for {name} answers only for {zones}")]
    Zones {
        /// The name.
        name: Host,
        /// Its zones.
        zones: String,
    },
}

impl Failure for CorefileError {
    fn class(&self) -> Class {
        Class::Input
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Broken { .. } => {
                "mend it first: CoreDNS goes on with what it read last, and fails when it starts anew"
            }
            Self::NoServer => {
                "`cluster: {dns: {configMap: NAMESPACE/NAME}}` names the ConfigMap of the cluster's DNS"
            }
            Self::Marks => "put `# BEGIN ferry` and `# END ferry` around them again, or remove them",
            Self::Zones { .. } => "add its domain to the zones of that `hosts`, or take the zones away",
        };
        vec![hint.to_owned()]
    }
}

impl<'a> Corefile<'a> {
    /// Reads it.
    pub(crate) fn read(text: &'a str) -> Result<Self, CorefileError> {
        Ok(Self { text, blocks: parse(text)? })
    }

    /// Whether CoreDNS takes up a change by itself.
    pub(crate) fn reloads(&self) -> bool {
        self.blocks.iter().any(|block| self.statements(block).any(|statement| statement.name() == "reload"))
    }

    /// Where the server block that answers for all names sends what it does not know.
    pub(crate) fn forwards_to(&self) -> Result<Vec<String>, CorefileError> {
        let block = &self.blocks[self.cluster_block()?];
        let forward = self.statements(block).find(|statement| statement.name() == "forward");
        let arguments = |statement: &Statement| {
            statement.arguments().iter().skip(1).map(|word| word.text.clone()).collect()
        };
        Ok(forward.map(arguments).unwrap_or_default())
    }

    /// Whether the server block that answers for all names has no `hosts` here, and may get one from a file that it imports.
    pub(crate) fn may_import_hosts(&self) -> Result<bool, CorefileError> {
        let block = &self.blocks[self.cluster_block()?];
        let has = |name: &str| self.statements(block).any(|statement| statement.name() == name);
        Ok(has("import") && !has("hosts"))
    }

    /// With exactly `entries` as Ferry's; those of others are kept or replaced.
    pub(crate) fn with_names(&self, entries: &[Entry], others: Others) -> Result<Edited, CorefileError> {
        edit::with_names(self, entries, others)
    }

    /// Ferry's, as they are.
    pub(crate) fn ours(&self) -> Result<Vec<Entry>, CorefileError> {
        edit::ours(self)
    }

    /// Without Ferry's.
    #[cfg(test)]
    pub(crate) fn without_names(&self) -> Result<String, CorefileError> {
        edit::without_names(self)
    }

    /// The server block of the cluster: that for all names, with `kubernetes` in it where there are several.
    fn cluster_block(&self) -> Result<usize, CorefileError> {
        let is_root = |block: &&usize| self.blocks[**block].serves_all();
        let all: Vec<usize> = (0..self.blocks.len()).collect();
        let roots: Vec<usize> = all.iter().filter(is_root).copied().collect();
        let has_kubernetes = |block: &&usize| {
            self.statements(&self.blocks[**block]).any(|statement| statement.name() == "kubernetes")
        };
        let usual = |block: &&usize| self.blocks[**block].ports().contains(&zone::USUAL_PORT);
        let chosen = roots.iter().find(has_kubernetes).or_else(|| roots.iter().find(usual)).or(roots.first());
        chosen.copied().ok_or(CorefileError::NoServer)
    }

    /// The server block that is asked for `name`: the one with the longest zone that it lies in, at the port of the cluster's.
    fn block_for(&self, name: &Host) -> Result<usize, CorefileError> {
        let cluster = self.cluster_block()?;
        let ports = self.blocks[cluster].ports();
        let fit = |block: &usize| {
            let zones = self.blocks[*block].zones();
            let labels =
                zones.filter(|zone| ports.contains(&zone.port)).filter_map(|zone| zone.labels_of(name));
            labels.max().map(|labels| (labels, *block))
        };
        let best = (0..self.blocks.len()).filter_map(|block| fit(&block)).max_by_key(|(labels, block)| {
            // Of two that are alike, the cluster's.
            (*labels, *block == cluster)
        });
        Ok(best.map_or(cluster, |(_, block)| block))
    }

    /// The statements of a block, those of snippets that it imports among them.
    fn statements<'b>(&'b self, block: &'b Block) -> impl Iterator<Item = &'b Statement> {
        block.statements.iter().flat_map(|statement| {
            let imported = (statement.name() == "import").then(|| statement.arguments().first()).flatten();
            let snippet = imported.and_then(|name| {
                self.blocks.iter().find(|block| block.snippet() == Some(name.text.as_str()))
            });
            std::iter::once(statement).chain(snippet.into_iter().flat_map(|snippet| &snippet.statements))
        })
    }
}
