//! Nodes in an order in which each follows what it needs.
//!
//! ONNX asks for that order, but ONNX Runtime sorts whatever it reads, and its own
//! float16 converter writes graphs that need it. Everything after this module
//! may take the order for granted, in bodies of nodes too. A graph that has
//! it keeps it, node by node.

use crate::error::BuildError;
use encoderfile::onnx::{GraphProto, NodeProto};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::path::Path;

/// Sorts the nodes of a graph and of every body in it.
pub(super) fn sort(path: &Path, graph: &mut GraphProto) -> Result<(), BuildError> {
    sort_graph(graph).map_err(|problem| BuildError::Onnx {
        path: path.to_owned(),
        problem,
    })
}

fn sort_graph(graph: &mut GraphProto) -> Result<(), String> {
    for node in &mut graph.node {
        let bodies = node.attribute.iter_mut().filter_map(|it| it.g.as_mut());
        for body in bodies {
            sort_graph(body)?;
        }
    }
    let order = {
        let dependencies = Dependencies::of(graph)?;
        let order = dependencies.order();
        if order.len() < graph.node.len() {
            let node = &graph.node[dependencies.on_a_circle(&order)];
            return Err(format!(
                "node `{}` ({}) needs its own result, through the nodes before it",
                name(node),
                node.op_type
            ));
        }
        order
    };
    let mut nodes: Vec<Option<NodeProto>> = graph.node.drain(..).map(Some).collect();
    let sorted = order.into_iter().filter_map(|index| nodes[index].take());
    graph.node = sorted.collect();
    Ok(())
}

/// For each node, those whose results it takes and those that take its results.
struct Dependencies {
    needs: Vec<HashSet<usize>>,
    users: Vec<Vec<usize>>,
}

impl Dependencies {
    fn of(graph: &GraphProto) -> Result<Self, String> {
        let definitions = definitions(graph)?;
        let mut users = vec![Vec::new(); graph.node.len()];
        let mut needs = Vec::with_capacity(graph.node.len());
        for (index, node) in graph.node.iter().enumerate() {
            let mut names = HashSet::new();
            collect_needed(node, &mut names);
            let needed = names.into_iter().filter_map(|it| definitions.get(it));
            let needed: HashSet<usize> = needed.filter_map(|definer| *definer).collect();
            needed.iter().for_each(|it| users[*it].push(index));
            needs.push(needed);
        }
        Ok(Self { needs, users })
    }

    /// The nodes that can be computed, each after those it needs, and otherwise
    /// as they were.
    fn order(&self) -> Vec<usize> {
        let mut missing: Vec<usize> = self.needs.iter().map(HashSet::len).collect();
        let ready = (0..missing.len()).filter(|index| missing[*index] == 0);
        let mut ready: BinaryHeap<Reverse<usize>> = ready.map(Reverse).collect();
        let mut order = Vec::with_capacity(missing.len());
        while let Some(Reverse(index)) = ready.pop() {
            order.push(index);
            for user in &self.users[index] {
                missing[*user] -= 1;
                if missing[*user] == 0 {
                    ready.push(Reverse(*user));
                }
            }
        }
        order
    }

    /// A node that needs its own result, where `order` has not all of them.
    fn on_a_circle(&self, order: &[usize]) -> usize {
        let ordered: HashSet<usize> = order.iter().copied().collect();
        let unordered = |index: &usize| !ordered.contains(index);
        let mut seen = HashSet::new();
        let mut node = (0..self.needs.len()).find(unordered).unwrap_or(0);
        // Whatever could not be ordered needs something that could not be either.
        while seen.insert(node) {
            let needed = self.needs[node].iter().copied().filter(unordered);
            node = needed.min().unwrap_or(node);
        }
        node
    }
}

/// By name of the value: the node it is from, if it is from one.
fn definitions(graph: &GraphProto) -> Result<HashMap<&str, Option<usize>>, String> {
    let mut definitions: HashMap<&str, Option<usize>> = HashMap::new();
    for tensor in &graph.initializer {
        if definitions.insert(&tensor.name, None).is_some() {
            return Err(format!("two tensors are called `{}`", tensor.name));
        }
    }
    // An input of the same name may replace a tensor.
    definitions.extend(graph.input.iter().map(|it| (it.name.as_str(), None)));
    for (index, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|it| !it.is_empty()) {
            if definitions.insert(output, Some(index)).is_some() {
                return Err(format!(
                    "node `{}` ({}) defines `{output}`, which is defined already",
                    name(node),
                    node.op_type
                ));
            }
        }
    }
    Ok(definitions)
}

/// The values that a node takes, also those from outside that its bodies use.
fn collect_needed<'a>(node: &'a NodeProto, names: &mut HashSet<&'a str>) {
    names.extend(node.input.iter().map(String::as_str));
    for body in node.attribute.iter().filter_map(|it| it.g.as_ref()) {
        let mut inside = HashSet::new();
        body.node
            .iter()
            .for_each(|node| collect_needed(node, &mut inside));
        inside.extend(body.output.iter().map(|it| it.name.as_str()));
        let defined = body.node.iter().flat_map(|node| &node.output);
        let defined = defined.chain(body.input.iter().map(|it| &it.name));
        for name in defined.chain(body.initializer.iter().map(|it| &it.name)) {
            inside.remove(name.as_str());
        }
        names.extend(inside);
    }
}

fn name(node: &NodeProto) -> &str {
    match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => output,
        (name, _) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile::onnx::{AttributeProto, ValueInfoProto};

    fn node(inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: "Add".into(),
            input: inputs.iter().map(|it| (*it).into()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    fn graph(node: Vec<NodeProto>) -> GraphProto {
        GraphProto {
            node,
            ..GraphProto::default()
        }
    }

    fn order(graph: &GraphProto) -> Vec<&str> {
        let nodes = graph.node.iter();
        nodes.map(|node| node.output[0].as_str()).collect()
    }

    #[test]
    fn a_sorted_graph_keeps_its_order() {
        let mut sorted = graph(vec![
            node(&["x"], "c"),
            node(&["x"], "a"),
            node(&["a", "c"], "b"),
            node(&["x"], "d"),
        ]);
        sort_graph(&mut sorted).unwrap();
        assert_eq!(order(&sorted), ["c", "a", "b", "d"]);
    }

    #[test]
    fn every_node_follows_what_it_needs() {
        let mut reversed = graph(vec![
            node(&["c", "a"], "d"),
            node(&["b"], "c"),
            node(&["a", ""], "b"),
            node(&["x"], "a"),
        ]);
        sort_graph(&mut reversed).unwrap();
        assert_eq!(order(&reversed), ["a", "b", "c", "d"]);
    }

    #[test]
    fn bodies_are_sorted_and_what_they_use_comes_before_their_node() {
        let mut body = graph(vec![node(&["inner"], "result"), node(&["outer"], "inner")]);
        body.output = vec![ValueInfoProto {
            name: "result".into(),
            ..ValueInfoProto::default()
        }];
        let mut branch = node(&["condition"], "chosen");
        branch.op_type = "If".into();
        branch.attribute = vec![AttributeProto {
            g: Some(body),
            ..AttributeProto::default()
        }];
        let mut unsorted = graph(vec![branch, node(&["x"], "outer")]);
        sort_graph(&mut unsorted).unwrap();
        assert_eq!(order(&unsorted), ["outer", "chosen"]);
        let body = unsorted.node[1].attribute[0].g.as_ref().unwrap();
        assert_eq!(order(body), ["inner", "result"]);
    }

    #[test]
    fn a_circle_and_a_second_definition_are_refused_by_name() {
        let refused = |nodes| sort_graph(&mut graph(nodes)).unwrap_err();
        let problem = refused(vec![
            node(&["b"], "after"),
            node(&["a"], "b"),
            node(&["b"], "a"),
        ]);
        assert!(
            problem.contains("`a`") || problem.contains("`b`"),
            "{problem}"
        );
        let problem = refused(vec![node(&["a"], "a")]);
        assert!(problem.contains("`a` (Add) needs its own"), "{problem}");
        let problem = refused(vec![node(&["x"], "a"), node(&["x"], "a")]);
        assert!(problem.contains("`a`, which is defined"), "{problem}");
    }
}
