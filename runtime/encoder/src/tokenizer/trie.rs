//! The entries of a vocabulary as a trie of their bytes.

use std::collections::VecDeque;
use std::ops::Range;

/// Stands for the id of a node at which no entry ends.
const NONE: u32 = u32::MAX;

/// A trie in three flat arrays: 250,000 entries take some ten megabytes, which a trie of hash
/// maps takes more than thirty times.
///
/// Nodes are numbered breadth-first, so that the children of a node follow one another, sorted
/// by their bytes. The root is node 0.
#[derive(Debug)]
pub(super) struct Trie {
    /// The byte that leads to a node; that of the root means nothing.
    labels: Vec<u8>,
    /// Where the children of a node begin; they end where those of the next node begin.
    children: Vec<u32>,
    /// The id of the entry that ends at a node, or [`NONE`].
    ids: Vec<u32>,
}

/// A beginning of entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node(usize);

/// That of all entries.
pub(super) const ROOT: Node = Node(0);

/// An entry, in the order of bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry<'a> {
    /// The first of them as one number: most entries are told apart without a look at the rest.
    first: u64,
    bytes: &'a [u8],
    id: u32,
}

/// The entries below a node, of which `depth` bytes are spelt by the way to it.
struct Below {
    entries: Range<usize>,
    depth: usize,
}

impl Trie {
    /// A trie of entries and their ids; of equal entries the last one's id is kept.
    ///
    /// There must be less than 2^32 bytes in all of them.
    pub(super) fn new<'a>(entries: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let entries = entries.into_iter();
        let mut entries: Vec<Entry<'_>> = entries.map(Entry::new).collect();
        entries.sort_unstable();
        let mut trie = Self {
            labels: vec![0],
            children: Vec::new(),
            ids: Vec::new(),
        };
        let mut queue = VecDeque::from([Below {
            entries: 0..entries.len(),
            depth: 0,
        }]);
        while let Some(below) = queue.pop_front() {
            trie.add(&entries, below, &mut queue);
        }
        trie.children.push(trie.next());
        trie
    }

    /// Adds the next node in number, and its children to the queue.
    fn add(&mut self, sorted: &[Entry<'_>], below: Below, queue: &mut VecDeque<Below>) {
        let Below { entries, depth } = below;
        self.children.push(self.next());
        let all = sorted.get(entries.clone()).unwrap_or_default();
        let ending = all.partition_point(|entry| entry.bytes.len() == depth);
        let (ending, longer) = all.split_at_checked(ending).unwrap_or_default();
        self.ids.push(ending.last().map_or(NONE, |entry| entry.id));
        let mut start = entries.start.saturating_add(ending.len());
        let byte = |entry: &Entry<'_>| entry.bytes.get(depth).copied();
        for child in longer.chunk_by(|one, other| byte(one) == byte(other)) {
            self.labels.extend(child.first().and_then(byte));
            let end = start.saturating_add(child.len());
            queue.push_back(Below {
                entries: start..end,
                depth: depth.saturating_add(1),
            });
            start = end;
        }
    }

    /// The number of the next child.
    fn next(&self) -> u32 {
        u32::try_from(self.labels.len()).unwrap_or(u32::MAX)
    }

    /// How many entries there are, equal ones counted once.
    pub(super) fn len(&self) -> usize {
        self.ids.iter().filter(|id| **id != NONE).count()
    }

    /// The id of an entry.
    pub(super) fn id(&self, entry: &str) -> Option<u32> {
        self.id_at(self.node(entry)?.0)
    }

    /// Where the entries are that begin so, if there are any.
    pub(super) fn node(&self, beginning: &str) -> Option<Node> {
        let mut bytes = beginning.bytes();
        let node = bytes.try_fold(0, |node, byte| self.child(node, byte))?;
        Some(Node(node))
    }

    /// The entries that a text begins with, the shortest first: how many bytes each has, and
    /// its id. The empty entry is none of them.
    pub(super) fn prefixes(&self, text: &str) -> impl Iterator<Item = (usize, u32)> {
        self.prefixes_after(ROOT, text)
    }

    /// The same of what follows the beginning of a [`Trie::node`].
    pub(super) fn prefixes_after(
        &self,
        Node(mut node): Node,
        text: &str,
    ) -> impl Iterator<Item = (usize, u32)> {
        let nodes = text.bytes().map_while(move |byte| {
            node = self.child(node, byte)?;
            Some(node)
        });
        let ends = nodes.enumerate();
        ends.filter_map(|(place, node)| Some((place.saturating_add(1), self.id_at(node)?)))
    }

    fn child(&self, node: usize, label: u8) -> Option<usize> {
        let start = *self.children.get(node)? as usize;
        let end = *self.children.get(node.checked_add(1)?)? as usize;
        let place = self.labels.get(start..end)?.binary_search(&label).ok()?;
        start.checked_add(place)
    }

    fn id_at(&self, node: usize) -> Option<u32> {
        self.ids.get(node).copied().filter(|id| *id != NONE)
    }
}

impl<'a> Entry<'a> {
    fn new((entry, id): (&'a str, u32)) -> Self {
        let bytes = entry.as_bytes();
        let mut first = [0; 8];
        for (to, from) in first.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self {
            first: u64::from_be_bytes(first),
            bytes,
            id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_that_a_text_begins_with_come_shortest_first() {
        let entries = ["b", "", "ab", "a", "abcd", "東", "ab"];
        let trie = Trie::new(entries.into_iter().zip(0..));
        let prefixes = |text| trie.prefixes(text).collect::<Vec<_>>();
        assert_eq!(prefixes("abcde"), [(1, 3), (2, 6), (4, 4)]);
        assert_eq!(prefixes("abc"), [(1, 3), (2, 6)]);
        assert_eq!(prefixes("東京"), [(3, 5)]);
        assert_eq!(prefixes("京"), []);
        assert_eq!(prefixes(""), []);
        let ids = ["", "ab", "abc", "abcd", "東", "zz"].map(|entry| trie.id(entry));
        assert_eq!(ids, [Some(1), Some(6), None, Some(4), Some(5), None]);
    }

    #[test]
    fn a_trie_of_nothing_has_nothing() {
        let trie = Trie::new([]);
        assert_eq!(trie.id(""), None);
        assert_eq!(trie.prefixes("a").count(), 0);
    }
}
