//! Token classification as spans, by the rules of transformers'
//! token-classification pipeline.

use crate::error::RequestError;
use crate::options::{Aggregation, Options};
use crate::output::{Entity, EntityLabel};
use crate::pooling::{activate, argmax};
use crate::tokenizer::{Tokenizer, Tokens};
use encoderfile_format::manifest::Activation;

/// A token of the text with its scores.
struct Scored {
    /// As the vocabulary spells it; an unknown token as the text does.
    word: String,
    /// `[labels]`.
    scores: Vec<f32>,
    start: usize,
    end: usize,
    /// Its place in the sequence, special tokens counted.
    index: usize,
    /// Whether it continues the word before it.
    continues: bool,
}

/// A token or word with its label.
struct Labelled {
    label: usize,
    score: f32,
    word: String,
    start: usize,
    end: usize,
}

/// What makes spans of the logits of a sequence.
pub(super) struct Spans<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) labels: &'a [String],
    pub(super) unknown_token_id: Option<u32>,
}

impl Spans<'_> {
    /// The entities of a sequence: `logits` is `[tokens, labels]`, `characters` the
    /// text in code points.
    pub(super) fn of(
        &self,
        tokens: &Tokens,
        logits: &[f32],
        characters: &[char],
        options: &Options,
    ) -> Result<Vec<Entity>, RequestError> {
        let scored = self.scored(tokens, logits, characters);
        let aggregation = options.aggregation.unwrap_or(Aggregation::None);
        let ignored = |label: &str| match &options.ignore_labels {
            None => label == "O",
            Some(labels) => labels.iter().any(|it| it == label),
        };
        let entities = match aggregation {
            Aggregation::None => self.single(scored),
            Aggregation::Simple => {
                let tokens = scored.into_iter().map(label_token);
                self.groups(tokens.collect())?
            }
            Aggregation::First | Aggregation::Average | Aggregation::Max => {
                let words = words(scored).into_iter();
                let words = words.map(|word| label_word(word, aggregation, self.tokenizer));
                self.groups(words.collect::<Result<_, _>>()?)?
            }
        };
        let mut entities = entities;
        entities.retain(|entity| !ignored(entity.label.name()));
        Ok(entities)
    }

    /// The tokens of the text. Whether one continues a word is told by its
    /// spelling where the vocabulary marks it, else by the spaces around it.
    fn scored(&self, tokens: &Tokens, logits: &[f32], characters: &[char]) -> Vec<Scored> {
        let marks_subwords = self.tokenizer.marks_subwords();
        let unknown = self.unknown_token_id;
        let rows = logits.chunks_exact(self.labels.len()).enumerate();
        let in_text = rows.filter(|(index, _)| !tokens.special[*index]);
        let scored = in_text.map(|(index, row)| {
            let (start, end) = tokens.offsets[index];
            let reference = characters.get(start..end).unwrap_or_default();
            let word = tokens.tokens[index].clone();
            let continues = if marks_subwords {
                word.chars().count() != reference.len()
            } else {
                is_inside_word(characters, start)
            };
            let is_unknown = unknown == Some(tokens.ids[index]);
            Scored {
                word: if is_unknown {
                    reference.iter().collect()
                } else {
                    word
                },
                // Whatever the model is for, as in transformers.
                scores: activate(row, Activation::Softmax),
                start,
                end,
                index,
                continues: continues && !is_unknown,
            }
        });
        scored.collect()
    }

    fn single(&self, tokens: Vec<Scored>) -> Vec<Entity> {
        let entities = tokens.into_iter().map(|token| {
            let label = argmax(&token.scores);
            Entity {
                label: EntityLabel::Token {
                    entity: self.labels[label].clone(),
                    index: token.index,
                },
                score: token.scores[label],
                word: token.word,
                start: token.start,
                end: token.end,
            }
        });
        entities.collect()
    }

    /// Neighbours with the same label, without the `B-` and `I-` in front of
    /// it, become one; `B-` begins another.
    fn groups(&self, parts: Vec<Labelled>) -> Result<Vec<Entity>, RequestError> {
        let mut groups: Vec<Vec<Labelled>> = Vec::new();
        for part in parts {
            let (begins, tag) = tag(&self.labels[part.label]);
            let last = groups.last_mut().filter(|group| {
                let last = &group[group.len() - 1];
                !begins && self::tag(&self.labels[last.label]).1 == tag
            });
            match last {
                Some(group) => group.push(part),
                None => groups.push(vec![part]),
            }
        }
        groups.into_iter().map(|group| self.group(group)).collect()
    }

    fn group(&self, parts: Vec<Labelled>) -> Result<Entity, RequestError> {
        let first = &parts[0];
        let label = &self.labels[first.label];
        // Not only `B-` and `I-`: transformers names groups by what follows the first hyphen.
        let name = label
            .split_once('-')
            .map_or(label.as_str(), |(_, name)| name);
        let (start, end) = (first.start, parts[parts.len() - 1].end);
        let score = parts.iter().map(|part| part.score).sum::<f32>() / parts.len() as f32;
        let words = parts.iter().map(|part| part.word.clone()).collect();
        Ok(Entity {
            label: EntityLabel::Group {
                entity_group: name.to_owned(),
            },
            score,
            word: self.tokenizer.join(words)?,
            start,
            end,
        })
    }
}

/// Whether no space is at a place of the text or before it. Past the end, where a
/// tokenizer may put a token, there is none either.
fn is_inside_word(characters: &[char], start: usize) -> bool {
    let around = start.saturating_sub(1)..characters.len().min(start.saturating_add(1));
    let around = characters.get(around).unwrap_or_default();
    start > 0 && !around.contains(&' ')
}

/// Whether a label begins an entity, and of which kind.
fn tag(label: &str) -> (bool, &str) {
    match label.strip_prefix("B-") {
        Some(tag) => (true, tag),
        None => (false, label.strip_prefix("I-").unwrap_or(label)),
    }
}

fn label_token(token: Scored) -> Labelled {
    let label = argmax(&token.scores);
    Labelled {
        label,
        score: token.scores[label],
        word: token.word,
        start: token.start,
        end: token.end,
    }
}

/// Tokens by word.
fn words(tokens: Vec<Scored>) -> Vec<Vec<Scored>> {
    let mut words: Vec<Vec<Scored>> = Vec::new();
    for token in tokens {
        match words.last_mut().filter(|_| token.continues) {
            Some(word) => word.push(token),
            None => words.push(vec![token]),
        }
    }
    words
}

/// One label for all tokens of a word.
fn label_word(
    tokens: Vec<Scored>,
    aggregation: Aggregation,
    tokenizer: &Tokenizer,
) -> Result<Labelled, RequestError> {
    let surest = |token: &Scored| token.scores[argmax(&token.scores)];
    let scores = match aggregation {
        Aggregation::Max => {
            let sureness: Vec<f32> = tokens.iter().map(surest).collect();
            tokens[argmax(&sureness)].scores.clone()
        }
        Aggregation::Average => {
            let labels = 0..tokens[0].scores.len();
            let mean = |label: usize| {
                let sum: f32 = tokens.iter().map(|token| token.scores[label]).sum();
                sum / tokens.len() as f32
            };
            labels.map(mean).collect()
        }
        _ => tokens[0].scores.clone(),
    };
    let label = argmax(&scores);
    let (start, end) = (tokens[0].start, tokens[tokens.len() - 1].end);
    let spellings = tokens.into_iter().map(|token| token.word).collect();
    Ok(Labelled {
        label,
        score: scores[label],
        word: tokenizer.join(spellings)?,
        start,
        end,
    })
}

/// Of entities from different windows that overlap, the longer stays, and of
/// equally long ones the surer.
pub(super) fn join_overlapping(mut entities: Vec<Entity>) -> Vec<Entity> {
    entities.sort_by_key(|entity| entity.start);
    let mut joined: Vec<Entity> = Vec::new();
    for entity in entities {
        let Some(last) = joined.last_mut().filter(|last| entity.start < last.end) else {
            joined.push(entity);
            continue;
        };
        let length = |entity: &Entity| entity.end - entity.start;
        let longer = length(&entity) > length(last);
        let surer = length(&entity) == length(last) && entity.score > last.score;
        if longer || surer {
            *last = entity;
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(start: usize, end: usize, score: f32) -> Entity {
        Entity {
            label: EntityLabel::Group {
                entity_group: "PER".into(),
            },
            score,
            word: String::new(),
            start,
            end,
        }
    }

    #[test]
    fn the_longer_of_two_overlapping_entities_stays_and_then_the_surer() {
        let joined = join_overlapping(vec![
            entity(20, 25, 0.5),
            entity(0, 5, 0.9),
            entity(3, 9, 0.1),
            entity(20, 25, 0.7),
            entity(9, 12, 0.3),
        ]);
        assert_eq!(
            joined,
            [entity(3, 9, 0.1), entity(9, 12, 0.3), entity(20, 25, 0.7)]
        );
    }

    #[test]
    fn an_offset_past_the_text_is_inside_a_word() {
        let text: Vec<char> = "ab c".chars().collect();
        let inside = [0, 1, 2, 3, 4, 5, 6, usize::MAX].map(|at| is_inside_word(&text, at));
        assert_eq!(inside, [false, true, false, false, true, true, true, true]);
    }

    #[test]
    fn tags_without_a_prefix_continue() {
        assert_eq!(tag("B-PER"), (true, "PER"));
        assert_eq!(tag("I-PER"), (false, "PER"));
        assert_eq!(tag("E-PER"), (false, "E-PER"));
    }
}
