//! Text segments, `\X`, `\y` and `\Y`, which fancy-regex does not have: Unicode's
//! extended grapheme clusters (UAX #29), without the rule GB9c, which Oniguruma
//! does not have.

/// Between two characters of the same cluster. One line a rule.
const INSIDE: &str = concat!(
    r"(?<=\r)(?=\n)|",
    r"(?<=[^\r\n\p{gcb=Control}])(?=[\p{gcb=Extend}\p{gcb=ZWJ}\p{gcb=SpacingMark}])|",
    r"(?<=\p{gcb=Prepend})(?=[^\r\n\p{gcb=Control}])|",
    r"(?<=\p{gcb=L})(?=[\p{gcb=L}\p{gcb=V}\p{gcb=LV}\p{gcb=LVT}])|",
    r"(?<=[\p{gcb=LV}\p{gcb=V}])(?=[\p{gcb=V}\p{gcb=T}])|",
    r"(?<=[\p{gcb=LVT}\p{gcb=T}])(?=\p{gcb=T})|",
    r"(?<=\p{Extended_Pictographic}\p{gcb=Extend}*\p{gcb=ZWJ})(?=\p{Extended_Pictographic})|",
    r"(?<=(?:\A|[^\p{RI}])(?:\p{RI}\p{RI})*\p{RI})(?=\p{RI})",
);

/// `\Y`: inside of a cluster.
pub(super) fn inside() -> String {
    format!("(?:{INSIDE})")
}

/// `\y`: between two clusters, or at the beginning or the end.
pub(super) fn boundary() -> String {
    format!("(?!{INSIDE})")
}

/// `\X`: the rest of a cluster, at least a character.
pub(super) fn cluster() -> String {
    format!(r"(?>\O(?:{}\O)*)", inside())
}
