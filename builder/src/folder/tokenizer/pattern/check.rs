//! What has no translation because of its place in a pattern.

use super::Unsupported;
use super::node::{GroupKind, Newline, Node, Zero};

/// Refuses a pattern that fancy-regex would search for elsewhere than Oniguruma.
pub(super) fn whole(node: &Node) -> Result<(), Unsupported> {
    let parts = match node {
        Node::Sequence(parts) => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    let after_len = keep(parts)?;
    let search_start = node.find(|node| match node {
        Node::SearchStart(at) => Some(*at),
        _ => None,
    });
    match search_start {
        Some(at) if after_len == 0 => {
            let problem = "no translation in a pattern that may match nothing; leave it away";
            return Err(Unsupported::untranslated(at, r"\G", problem));
        }
        _ => {}
    }
    if matches!(lead(node), Lead::Any { is_hidden: true }) {
        let problem = "after a condition Oniguruma looks for it at beginnings of lines only, which has no translation; write a class that is not any character";
        return Err(Unsupported::untranslated(0, ".*", problem));
    }
    Ok(())
}

/// `\K` means the same to both in the outermost sequence, before at least one
/// character: what comes after an empty match differs. Returns the fewest
/// characters of a match.
fn keep(parts: &[Node]) -> Result<u32, Unsupported> {
    let at = |node: &Node| match node {
        Node::Keep(at) => Some(*at),
        _ => None,
    };
    let last = parts.iter().rposition(|part| at(part).is_some());
    let (before, after) = parts.split_at(last.map_or(0, |index| index + 1));
    let after_len = after.iter().map(Node::min_len).fold(0, u32::saturating_add);
    let mut hidden = after.iter().find_map(|part| part.find(at));
    if let Some((keep, before)) = before.split_last() {
        let earlier = || before.iter().find_map(|part| part.find(at));
        let empty = || at(keep).filter(|_| after_len == 0);
        hidden = hidden.or_else(earlier).or_else(empty);
    }
    match hidden {
        Some(at) => {
            let problem = "no translation at this place; write a look-behind";
            Err(Unsupported::untranslated(at, r"\K", problem))
        }
        None => Ok(after_len),
    }
}

/// What a match begins with.
enum Lead {
    /// Conditions, which match nothing.
    Nothing(Conditions),
    /// As much as there is of any character.
    Any {
        /// Whether conditions before it may hold in the middle of a line, where
        /// Oniguruma does not look.
        is_hidden: bool,
    },
    Other,
}

/// What conditions are before the first character.
#[derive(Clone, Copy, Default)]
struct Conditions {
    /// One that may hold in the middle of a line.
    anywhere: bool,
    /// One that makes Oniguruma look everywhere.
    searched: bool,
}

/// Oniguruma takes greedy `.*` for a sign that a match begins where a line does, or
/// where the last one ended, and overlooks conditions before it.
fn lead(node: &Node) -> Lead {
    lead_after(node, Conditions::default(), true)
}

fn lead_after(node: &Node, before: Conditions, is_last: bool) -> Lead {
    match node {
        Node::Repeat {
            body,
            max: None,
            is_greedy: true,
            ..
        } if matches!(**body, Node::Any { .. }) => {
            let is_line = matches!(
                **body,
                Node::Any {
                    newline: Newline::Excluded,
                    ..
                }
            );
            Lead::Any {
                // Without anything after it lines are not skipped.
                is_hidden: before.anywhere && !before.searched && !(is_line && is_last),
            }
        }
        Node::Repeat { body, min, .. } if *min > 0 => lead_after(body, before, is_last),
        Node::Sequence(parts) => {
            let mut conditions = before;
            for (index, part) in parts.iter().enumerate() {
                let is_last = is_last && index + 1 == parts.len();
                match lead_after(part, conditions, is_last) {
                    Lead::Nothing(more) => conditions = more,
                    lead => return lead,
                }
            }
            Lead::Nothing(conditions)
        }
        Node::Alternatives(branches) => {
            let leads = branches
                .iter()
                .map(|branch| lead_after(branch, before, is_last));
            leads
                .reduce(|all, lead| match (all, lead) {
                    (Lead::Any { is_hidden: a }, Lead::Any { is_hidden: b }) => {
                        Lead::Any { is_hidden: a || b }
                    }
                    _ => Lead::Other,
                })
                .unwrap_or(Lead::Other)
        }
        Node::Group { kind, .. } if kind.is_look() => Lead::Nothing(Conditions {
            anywhere: true,
            searched: before.searched || matches!(kind, GroupKind::Behind | GroupKind::NotAhead),
        }),
        Node::Group { body, .. } => lead_after(body, before, is_last),
        Node::Zero(Zero::LineStart | Zero::TextStart) => Lead::Nothing(before),
        node if node.max_len() == Some(0) => Lead::Nothing(Conditions {
            anywhere: true,
            ..before
        }),
        _ => Lead::Other,
    }
}
