//! Special and added tokens with their flags: what four files and a class say of them
//! becomes one list, in the order in which transformers adds them.

use super::class::Class;
use super::settings::{NAMED, Settings};
use crate::error::BuildError;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use tokenizers::AddedToken;

/// A list of special tokens without a key, or a map of the model's own.
const EXTRA: &str = "extra_special_tokens";

/// The older key of that list.
const ADDITIONAL: &str = "additional_special_tokens";

/// A map of the model's own special tokens.
const OWN: &str = "model_specific_special_tokens";

/// An added token; what is `None` follows from whether it is special.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: Option<bool>,
    special: bool,
}

/// A special token: a spelling, or one with flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Special {
    Text(String),
    Token(Token),
}

impl Token {
    pub(super) fn new(content: &str) -> Self {
        Self {
            content: content.into(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: None,
            special: false,
        }
    }

    pub(super) fn special(self) -> Self {
        Self {
            special: true,
            ..self
        }
    }

    pub(super) fn lstrip(self) -> Self {
        Self {
            lstrip: true,
            ..self
        }
    }

    /// Whether texts are normalised before it is looked for.
    pub(super) fn set_normalized(&mut self, normalized: bool) {
        self.normalized = Some(normalized);
    }

    /// Reads an object with a token's flags.
    pub(super) fn read(path: &Path, key: &str, value: &Value) -> Result<Self, BuildError> {
        let wrong = || BuildError::key(path, key, value);
        let fields = value.as_object().ok_or_else(wrong)?;
        let mut token = Self::new(
            fields
                .get("content")
                .and_then(Value::as_str)
                .ok_or_else(wrong)?,
        );
        for (name, value) in fields {
            let flag = || value.as_bool().ok_or_else(wrong);
            match name.as_str() {
                "content" | "__type" | "id" => {}
                "single_word" => token.single_word = flag()?,
                "lstrip" => token.lstrip = flag()?,
                "rstrip" => token.rstrip = flag()?,
                "normalized" => token.normalized = Some(flag()?),
                "special" => token.special = flag()?,
                _ => return Err(wrong()),
            }
        }
        Ok(token)
    }

    /// As the tokenizers library has it.
    pub(super) fn to_added(&self) -> AddedToken {
        AddedToken {
            content: self.content.clone(),
            single_word: self.single_word,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            normalized: self.normalized.unwrap_or(!self.special),
            special: self.special,
        }
    }
}

impl Special {
    pub(super) fn content(&self) -> &str {
        match self {
            Self::Text(content) => content,
            Self::Token(token) => &token.content,
        }
    }

    /// A spelling becomes a token by `make`; one with flags keeps them.
    pub(super) fn or_else(self, make: impl Fn(&str) -> Token) -> Self {
        match self {
            Self::Text(content) => Self::Token(make(&content)),
            token @ Self::Token(_) => token,
        }
    }
}

/// Everything the files say about tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Added tokens by id.
    pub(super) by_id: BTreeMap<u32, Token>,
    /// Special tokens by key: the seven of [`NAMED`], then the model's own. `None` where
    /// a file says that there is none.
    pub(super) named: Vec<(String, Option<Special>)>,
    /// Special tokens without a key; `None` where no file has a list of them.
    pub(super) extra: Option<Vec<Special>>,
    /// Whether the class gets that list as its argument `additional_special_tokens`.
    pub(super) extra_is_argument: bool,
}

/// The files beside tokenizer.json, and its own list.
pub(super) struct Sources<'a> {
    pub(super) settings: &'a Settings<'a>,
    /// special_tokens_map.json, where older folders keep them.
    pub(super) map: (&'a Path, &'a Value),
    /// added_tokens.json: ids by spelling.
    pub(super) added: (&'a Path, &'a Value),
    /// `added_tokens` of tokenizer.json.
    pub(super) tokenizer: (&'a Path, &'a Value),
    /// Tokens of a SentencePiece model, which go before the older key's.
    pub(super) of_model: Option<Value>,
}

impl Sources<'_> {
    /// As `from_pretrained` of transformers 5.24 reads them, in its order: where
    /// tokenizer_config.json has `added_tokens_decoder`, the other lists are not read.
    pub(super) fn read(&self) -> Result<Tokens, BuildError> {
        let mut keys = self.settings.keys().clone();
        let mut tokens = Tokens::default();
        if keys.get(EXTRA).is_none_or(is_nothing)
            && let Some(list) = keys.shift_remove(ADDITIONAL)
        {
            keys.insert(EXTRA.into(), list);
        }
        collect_own(&mut keys);
        match keys.get("added_tokens_decoder") {
            Some(decoder) => self.read_decoder(decoder, &mut tokens)?,
            None => self.read_older_files(&mut keys, &mut tokens)?,
        }
        if let Some(tokens) = &self.of_model {
            keys.insert(ADDITIONAL.into(), tokens.clone());
        }
        // What is left of the older key is for the class, if the newer is not there at all.
        if let Some(list) = keys.shift_remove(ADDITIONAL)
            && !list.is_null()
            && !keys.contains_key(EXTRA)
        {
            keys.insert(EXTRA.into(), list);
            tokens.extra_is_argument = true;
        }
        self.read_named(&keys, &mut tokens)?;
        self.read_own(&keys, &mut tokens)?;
        self.read_extra(&keys, &mut tokens)?;
        Ok(tokens)
    }

    fn read_decoder(&self, decoder: &Value, tokens: &mut Tokens) -> Result<(), BuildError> {
        let path = self.settings.path();
        let wrong = |key: &str, value| Err(BuildError::key(path, key, value));
        let Some(decoder) = decoder.as_object() else {
            return wrong("added_tokens_decoder", decoder);
        };
        for (id, token) in decoder {
            let key = format!("added_tokens_decoder.{id}");
            let Ok(id) = id.parse() else {
                return wrong(&key, token);
            };
            tokens.by_id.insert(id, Token::read(path, &key, token)?);
        }
        Ok(())
    }

    /// special_tokens_map.json goes before tokenizer_config.json; added tokens are those
    /// of added_tokens.json, and before them of tokenizer.json.
    fn read_older_files(
        &self,
        keys: &mut Map<String, Value>,
        tokens: &mut Tokens,
    ) -> Result<(), BuildError> {
        let (path, map) = self.map;
        let entries = match map {
            Value::Null => None,
            Value::Object(entries) => Some(entries),
            other => return Err(BuildError::key(path, "", other)),
        };
        for (key, value) in entries.into_iter().flatten() {
            let value = match value {
                Value::Object(token) if key != EXTRA => {
                    let mut token = token.clone();
                    token.insert("special".into(), true.into());
                    token.insert("__type".into(), "AddedToken".into());
                    Value::Object(token)
                }
                Value::Array(list) if key == EXTRA => merged(keys.get(key), list),
                value => value.clone(),
            };
            keys.insert(key.clone(), value);
        }
        if let Some(Value::Object(_)) = keys.get(EXTRA)
            && let Some(Value::Object(map)) = keys.shift_remove(EXTRA)
        {
            let own = keys.entry(OWN).or_insert_with(|| Map::new().into());
            let wrong = BuildError::key(path, OWN, own);
            own.as_object_mut().ok_or(wrong)?.extend(map);
        }
        self.read_added(keys, tokens)?;
        let (path, listed) = self.tokenizer;
        for token in listed.as_array().into_iter().flatten() {
            let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or_else(|| BuildError::key(path, "added_tokens", token))?;
            tokens
                .by_id
                .insert(id, Token::read(path, "added_tokens", token)?);
        }
        Ok(())
    }

    /// added_tokens.json says nothing of flags: a token is special if another file
    /// says so.
    fn read_added(&self, keys: &Map<String, Value>, tokens: &mut Tokens) -> Result<(), BuildError> {
        let (path, added) = self.added;
        let entries = match added {
            Value::Null => return Ok(()),
            Value::Object(entries) => entries,
            other => return Err(BuildError::key(path, "", other)),
        };
        let named = NAMED.iter().filter_map(|key| keys.get(*key));
        let extra = keys.get(EXTRA);
        let extra = extra.and_then(Value::as_array).into_iter().flatten();
        let special: Vec<&str> = named.chain(extra).filter_map(spelling).collect();
        for (content, id) in entries {
            let known = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let id = known.ok_or_else(|| BuildError::key(path, content, id))?;
            let is_special = special.contains(&content.as_str());
            let token = Token {
                normalized: Some(!is_special),
                special: is_special,
                ..Token::new(content)
            };
            tokens.by_id.insert(id, token);
        }
        Ok(())
    }

    fn read_named(&self, keys: &Map<String, Value>, tokens: &mut Tokens) -> Result<(), BuildError> {
        for key in NAMED {
            let Some(value) = keys.get(key) else { continue };
            let special = self.settings.special(key, value)?;
            // The flags of the added token of that spelling are the token's flags.
            let special = special.map(|special| {
                let mut added = tokens.by_id.values();
                let added = added.find(|token| token.content == special.content());
                added.cloned().map_or(special, Special::Token)
            });
            tokens.named.push((key.into(), special));
        }
        Ok(())
    }

    /// The model's own special tokens: each key that ends so, then those of the map, which
    /// replace them.
    fn read_own(&self, keys: &Map<String, Value>, tokens: &mut Tokens) -> Result<(), BuildError> {
        let path = self.settings.path();
        // Flags of the processor (`add_bos_token`) end so too.
        let is_token = |value: &Value| value.is_string() || value.is_object();
        let named = keys.iter();
        let named = named.filter(|(key, value)| is_own(key) && is_token(value));
        let mut own: Map<String, Value> = named.map(|(k, v)| (k.clone(), v.clone())).collect();
        match keys.get(OWN) {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) => own.extend(map.clone()),
            Some(other) => return Err(BuildError::key(path, OWN, other)),
        }
        for (key, value) in own {
            // Here a class adds this one, and puts that of the plain key around texts.
            if NAMED.contains(&key.as_str()) {
                return Err(BuildError::key(path, &format!("{OWN}.{key}"), &value));
            }
            let special = self.settings.special(&key, &value)?;
            let special = special.ok_or_else(|| BuildError::key(path, &key, &value))?;
            tokens.named.push((key, Some(special)));
        }
        Ok(())
    }

    fn read_extra(&self, keys: &Map<String, Value>, tokens: &mut Tokens) -> Result<(), BuildError> {
        let path = self.settings.path();
        let list = match keys.get(EXTRA) {
            None => return Ok(()),
            Some(Value::Null) => &Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => return Err(BuildError::key(path, EXTRA, other)),
        };
        let extra = tokens.extra.insert(Vec::new());
        for value in list {
            let special = self.settings.special(EXTRA, value)?;
            extra.push(special.ok_or_else(|| BuildError::key(path, EXTRA, value))?);
        }
        Ok(())
    }
}

impl Tokens {
    /// The special token of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Special> {
        let (_, special) = self.named.iter().find(|(known, _)| known == key)?;
        special.as_ref()
    }

    /// Gives a class's tokens to keys that no file has, or else a padding token. A file's
    /// `null` stays.
    pub(super) fn set_defaults(&mut self, class: Class, pad_token: Option<&str>) {
        for (key, content) in class.default_tokens() {
            self.set_default(key, content);
        }
        if let Some(content) = pad_token {
            self.set_default("pad_token", content);
        }
        let place = |key: &str| NAMED.iter().position(|known| *known == key);
        self.named
            .sort_by_key(|(key, _)| place(key).unwrap_or(NAMED.len()));
    }

    /// Names the token of a key that no file has.
    pub(super) fn set_default(&mut self, key: &str, content: &str) {
        if !self.named.iter().any(|(known, _)| known == key) {
            let special = Special::Text(content.into());
            self.named.push((key.into(), Some(special)));
        }
    }

    /// What is added to a tokenizer that has `there` already, in this order.
    pub(super) fn to_add(&self, there: &[String]) -> Vec<Token> {
        let mut list: Vec<Special> = self.by_id.values().cloned().map(Special::Token).collect();
        let known: Vec<String> = list.iter().map(|it| it.content().to_owned()).collect();
        let is_there = |content: &str| {
            let mut all = there.iter().chain(&known);
            all.any(|known| known == content)
        };
        let named = self
            .named
            .iter()
            .filter_map(|(_, special)| special.as_ref());
        for special in named.clone().chain(self.extra.iter().flatten()) {
            if !is_there(special.content()) && !list.contains(special) {
                list.push(special.clone());
            }
        }
        let named: Vec<&str> = named.map(Special::content).collect();
        let token = |special: Special| match special {
            Special::Text(content) => Token::new(&content).special(),
            Special::Token(token) if named.contains(&token.content.as_str()) => token.special(),
            Special::Token(token) => token,
        };
        list.into_iter().map(token).collect()
    }
}

/// Whether a key is of a special token that transformers has no name for.
fn is_own(key: &str) -> bool {
    key.ends_with("_token") && !NAMED.contains(&key)
}

/// The model's own special tokens as one map, instead of a map that is there: those of
/// keys that are spellings, and those of the map under the list's name.
fn collect_own(keys: &mut Map<String, Value>) {
    let mut own = Map::new();
    keys.retain(|key, value| {
        let is_own = is_own(key) && value.is_string();
        if is_own {
            own.insert(key.clone(), value.clone());
        }
        !is_own
    });
    if let Some(Value::Object(map)) = keys.get(EXTRA) {
        own.extend(map.clone());
        keys.shift_remove(EXTRA);
    }
    if !own.is_empty() {
        keys.insert(OWN.into(), own.into());
    }
}

/// Two lists as one, without what is in both.
fn merged(first: Option<&Value>, second: &[Value]) -> Value {
    let first = first.and_then(Value::as_array).into_iter().flatten();
    let mut all: Vec<Value> = first.cloned().collect();
    for token in second {
        let token = match token {
            Value::Object(token) => {
                let mut token = token.clone();
                token.insert("special".into(), true.into());
                token.insert("__type".into(), "AddedToken".into());
                Value::Object(token)
            }
            token => token.clone(),
        };
        if !all.contains(&token) {
            all.push(token);
        }
    }
    Value::Array(all)
}

/// A token is written as a string, or as an object with its `content`.
fn spelling(value: &Value) -> Option<&str> {
    value.as_str().or(value["content"].as_str())
}

/// What Python takes for false.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

impl Tokens {
    /// Turns the token of a key that is a mere spelling into one with flags.
    pub(super) fn make(&mut self, key: &str, make: impl Fn(&str) -> Token) {
        for (known, special) in &mut self.named {
            if known == key {
                *special = special.take().map(|special| special.or_else(&make));
            }
        }
    }

    /// All special tokens with and without a key, as special ones.
    pub(super) fn all_special(&self) -> Vec<Token> {
        let named = self
            .named
            .iter()
            .filter_map(|(_, special)| special.as_ref());
        let all = named.chain(self.extra.iter().flatten()).cloned();
        let token = |special: Special| match special {
            Special::Text(content) => Token::new(&content).special(),
            Special::Token(token) => token.special(),
        };
        all.map(token).collect()
    }

    /// Adds special tokens without a key.
    pub(super) fn extend(&mut self, contents: impl IntoIterator<Item = String>) {
        let extra = self.extra.get_or_insert_default();
        extra.extend(contents.into_iter().map(Special::Text));
    }
}
