//! A workflow as a graph: who sent whom, and where each stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::AsyncResult;
use crate::app::App;
use crate::error::Result;
use crate::group::member_id;
use crate::ports::Key;
use crate::record::{Record, State};

/// The most tasks of a graph.
const MOST: usize = 10_000;

/// A workflow: its tasks and groups, and what came of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Graph {
    /// The tasks and groups, by their ids.
    pub nodes: BTreeMap<String, Node>,
    /// What came of what: pairs of ids.
    pub edges: BTreeSet<(String, String)>,
    /// Whether there is more than fits: ten thousand tasks.
    pub cut: bool,
}

/// A task or a group of a [`Graph`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Node {
    /// The task's name, once it is known; `sedano.group` of a group.
    pub task: Option<String>,
    /// Where it stands.
    pub status: State,
}

impl<T> AsyncResult<T> {
    /// The whole workflow that it belongs to, as far as it has come: from the first task on, whatever was sent
    /// from there.
    ///
    /// # Errors
    /// When the records can't be read.
    pub async fn graph(&self) -> Result<Graph> {
        let root = self.record().await?.root_id;
        let first = self.path.first().cloned();
        let start = [root, first, Some(self.id.clone())];
        self.app.graph(start.into_iter().flatten()).await
    }
}

impl App {
    async fn graph(&self, start: impl Iterator<Item = String>) -> Result<Graph> {
        let mut graph = Graph {
            nodes: BTreeMap::new(),
            edges: BTreeSet::new(),
            cut: false,
        };
        let mut next: BTreeSet<String> = start.collect();
        while !next.is_empty() {
            let room = MOST.saturating_sub(graph.nodes.len());
            graph.cut |= next.len() > room;
            let ids: Vec<String> = std::mem::take(&mut next).into_iter().take(room).collect();
            let keys: Vec<Key> = ids.iter().map(|id| Key::Result(id.clone())).collect();
            let items = self.ports().store.get_many(&keys).await?;
            for (id, item) in ids.into_iter().zip(items) {
                let record = Record::read(&id, item.as_ref(), self.now())?;
                next.extend(graph.add(id, record));
            }
            next.retain(|id| !graph.nodes.contains_key(id));
        }
        Ok(graph)
    }
}

impl Graph {
    /// Adds a task: the ids of those around it.
    fn add(&mut self, id: String, record: Record) -> Vec<String> {
        let mut around = Vec::new();
        if let Some(parent) = record.parent_id {
            self.edges.insert((parent.clone(), id.clone()));
            around.push(parent);
        }
        for child in record.children {
            self.edges.insert((id.clone(), child.clone()));
            around.push(child);
        }
        around.extend((0..record.size.unwrap_or(0)).map(|index| member_id(&id, index)));
        let node = Node {
            task: record.task,
            status: record.status,
        };
        self.nodes.insert(id, node);
        around
    }

    /// The graph in Graphviz's language: `dot -Tsvg`.
    pub fn to_dot(&self) -> String {
        let mut dot = String::from("digraph workflow {\n  rankdir=LR;\n  node [shape=box];\n");
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        for (id, node) in &self.nodes {
            let task = node.task.as_deref().unwrap_or("?");
            // Writing into a text never fails.
            let _ = writeln!(
                dot,
                "  \"{}\" [label=\"{}\\n{}\"];",
                quoted(id),
                quoted(task),
                node.status
            );
        }
        for (from, to) in &self.edges {
            let _ = writeln!(dot, "  \"{}\" -> \"{}\";", quoted(from), quoted(to));
        }
        dot.push_str("}\n");
        dot
    }
}
