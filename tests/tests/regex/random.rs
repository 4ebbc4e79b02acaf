//! Random patterns of the constructs that published tokenizers use, others that
//! Oniguruma reads differently, and random texts with what tells them apart.

/// The same numbers at every run from the same seed (xorshift*).
pub(crate) struct Random(u64);

/// Single characters and sets.
const ATOMS: [&str; 68] = [
    "a",
    "b",
    "s",
    "S",
    "t",
    "i",
    "'",
    " ",
    "-",
    "1",
    "é",
    "ß",
    "日",
    "👍",
    "\u{301}",
    r"\s",
    r"\S",
    r"\w",
    r"\W",
    r"\d",
    r"\D",
    r"\h",
    r"\H",
    ".",
    r"\p{L}",
    r"\p{N}",
    r"\p{P}",
    r"\p{M}",
    r"\p{S}",
    r"\p{Lu}",
    r"\p{Ll}",
    r"\p{Han}",
    r"\P{L}",
    r"\p{^Lu}",
    r"\p{Word}",
    r"\p{InHiragana}",
    r"\R",
    r"\X",
    r"\N",
    r"\O",
    r"\n",
    r"\r",
    r"\t",
    r"\v",
    r"\x41",
    r"\x{301}",
    r"\u200d",
    r"\0",
    r"\012",
    r"\<",
    r"\>",
    r"\pL",
    r"\i",
    "]",
    "}",
    "{",
    "{,}",
    "#",
    r"\#",
    "~",
    r"\xE2\x80\x8D",
    r"\cA",
    "(?:'s|'ll)",
    "(?i:'s|'ll)",
    "(?i:ss)",
    "(?i:ﬁ)",
    r"(?i:\X)",
    r"(?i:\b)",
];

/// Conditions, which are not repeated.
const CONDITIONS: [&str; 18] = [
    "^",
    "$",
    r"\A",
    r"\z",
    r"\Z",
    r"\b",
    r"\B",
    r"\y",
    r"\Y",
    r"(?!\S)",
    r"(?=\s)",
    r"(?<=a)",
    r"(?<!\s)",
    r"(?<=\n)",
    "(?<=a|bc)",
    "(?<=a*)",
    r"(?<=[a-z])",
    r"(?=[A-Z])",
];

/// What classes are made of.
const ITEMS: [&str; 44] = [
    "a",
    "b-k",
    "A-Z",
    "0-9",
    r"\s",
    r"\S",
    r"\w",
    r"\W",
    r"\d",
    r"\h",
    r"\p{L}",
    r"\p{N}",
    r"\P{N}",
    r"\p{^Lu}",
    r"\p{Lu}",
    r"\p{Ll}",
    r"\p{M}",
    "[:alpha:]",
    "[:^space:]",
    "[:punct:]",
    "[:word:]",
    "-",
    "&",
    "&&",
    "&&[^a]",
    "~",
    "~~",
    "^",
    "ß",
    "é-ü",
    r"\r\n",
    " ",
    "'",
    "[b-d]",
    "[^a-c]",
    r"[^\s\p{L}]",
    r"\b",
    r"\-",
    r"\]",
    r"\[",
    "一-龥",
    "🙂-🙏",
    "ſ",
    "K",
];

const QUANTIFIERS: [&str; 20] = [
    "*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,3}", "{,2}", "{2,}", "{0,1}?",
    "{2}?", "{2}+", "{3,1}", "{1}", "+", "?",
];

const TEXT: [&str; 70] = [
    "a",
    "b",
    "s",
    "S",
    "ss",
    "ll",
    "i",
    "I",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\u{B}",
    "\u{C}",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\u{A0}",
    "\u{3000}",
    "'s",
    "'S",
    "'ll",
    "'ſ",
    "-",
    "1",
    "12",
    "345",
    "٣",
    "²",
    "½",
    "é",
    "e\u{301}",
    "É",
    "ß",
    "ẞ",
    "ﬁ",
    "fi",
    "K",
    "k",
    "日本",
    "あ",
    "ア",
    "👍",
    "👍🏽",
    "👨\u{200D}👩\u{200D}👧",
    "\u{200D}",
    "\u{200C}",
    "🇩🇪",
    "🇩",
    "각",
    "ᄀ",
    "ᅡ",
    "ก\u{E33}",
    "_",
    ".",
    "!",
    "Hello",
    "World",
    "bc",
    "İ",
    "\0",
    "\t",
    "[x]",
    "ι",
    "\u{345}",
    "Ⓜ",
    "ⓜ\u{FE0F}\u{200D}",
    "#~&",
];

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap_or(0) % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    pub(crate) fn text(&mut self) -> String {
        let len = 1 + self.below(14);
        (0..len).map(|_| self.one(&TEXT)).collect()
    }

    pub(crate) fn pattern(&mut self) -> String {
        self.branches(0)
    }

    fn branches(&mut self, depth: usize) -> String {
        let mut pattern = self.sequence(depth);
        while self.below(3) == 0 {
            pattern.push('|');
            pattern += &self.sequence(depth);
        }
        pattern
    }

    fn sequence(&mut self, depth: usize) -> String {
        let len = 1 + self.below(3);
        (0..len).map(|_| self.part(depth)).collect()
    }

    fn part(&mut self, depth: usize) -> String {
        match self.below(if depth > 1 { 12 } else { 16 }) {
            0..=6 => {
                let atom = self.one(&ATOMS);
                self.maybe_repeated(atom)
            }
            7..=9 => {
                let class = self.class();
                self.maybe_repeated(&class)
            }
            10 | 11 => self.one(&CONDITIONS).to_owned(),
            12 => format!("({})", self.branches(depth + 1)),
            13 => {
                let group = format!("(?:{})", self.branches(depth + 1));
                // Repeating any number of repetitions is what both give up on.
                let is_plain = !group.contains(['*', '+', '{', '?']);
                if is_plain {
                    self.maybe_repeated(&group)
                } else {
                    group
                }
            }
            14 => {
                let open = self.one(&["(?i:", "(?m:", "(?=", "(?!", "(?>", "(?<=", "(?mi-x:"]);
                format!("{open}{})", self.branches(depth + 1))
            }
            _ => self
                .one(&["(?i)", "(?m)", "(?-i)", "(?#note)", "(?x) # note\n"])
                .to_owned(),
        }
    }

    fn maybe_repeated(&mut self, part: &str) -> String {
        if self.below(2) == 0 {
            format!("{part}{}", self.one(&QUANTIFIERS))
        } else {
            part.to_owned()
        }
    }

    fn class(&mut self) -> String {
        let open = if self.below(3) == 0 { "[^" } else { "[" };
        let len = 1 + self.below(4);
        let items: String = (0..len).map(|_| self.one(&ITEMS)).collect();
        format!("{open}{items}]")
    }
}
