//! The flags of a request, made of the runtime's table of options.
//!
//! **Invariant:** a flag is an option's name with hyphens; there is none beside the
//! table's.

use clap::builder::{PossibleValue, PossibleValuesParser, ValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use encoderfile::{OPTIONS, OptionKind, OptionRow, Options};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The flags of options: those that say how texts become tokens, or all.
pub struct Flags<const TOKENS_ONLY: bool>(pub Options);

impl<const TOKENS_ONLY: bool> Args for Flags<TOKENS_ONLY> {
    fn augment_args(command: Command) -> Command {
        let rows = rows(TOKENS_ONLY);
        rows.fold(command, |command, row| command.arg(argument(row)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const TOKENS_ONLY: bool> FromArgMatches for Flags<TOKENS_ONLY> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        read(matches, rows(TOKENS_ONLY)).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn rows(tokens_only: bool) -> impl Iterator<Item = &'static OptionRow> {
    let rows = OPTIONS.iter();
    rows.filter(move |row| row.of_tokens || !tokens_only)
}

fn argument(row: &'static OptionRow) -> Arg {
    let flag = |name: &str| name.replace('_', "-");
    let mut argument = Arg::new(row.name).long(flag(row.name)).help(help(row));
    if let Some(alias) = row.alias {
        argument = argument.alias(flag(alias));
    }
    if row.name == "overflow" {
        // Text Embeddings Inference's name for it.
        argument = argument.alias("truncate");
    }
    if !row.heading.is_empty() {
        argument = argument.help_heading(row.heading);
    }
    match row.kind {
        OptionKind::Flag => argument.action(ArgAction::SetTrue),
        OptionKind::Bool => argument
            .value_name("BOOL")
            .value_parser(clap::value_parser!(bool)),
        OptionKind::Count => argument
            .value_name("N")
            .value_parser(clap::value_parser!(usize)),
        OptionKind::Text if row.name.ends_with("name") => argument
            .value_name("NAME")
            .value_parser(ValueParser::string()),
        OptionKind::Text => argument
            .value_name("TEXT")
            .value_parser(ValueParser::string()),
        OptionKind::Names | OptionKind::Texts => argument
            .value_name(last_word(row.name))
            .value_delimiter(',')
            .action(ArgAction::Append)
            .value_parser(ValueParser::string()),
        OptionKind::Choice(names) => {
            let values = names.iter().map(|(name, about)| {
                let value = PossibleValue::new(*name).help(about.trim().trim_end_matches('.'));
                match *name {
                    "truncate" => value.alias("cut"),
                    _ => value,
                }
            });
            let argument = argument.value_name(last_word(row.name));
            argument.value_parser(PossibleValuesParser::new(values))
        }
    }
}

/// `ignore_labels` takes LABELS.
fn last_word(name: &str) -> String {
    let (_, last) = name.rsplit_once('_').unwrap_or(("", name));
    last.to_uppercase()
}

fn help(row: &OptionRow) -> String {
    let about = row.about.trim();
    match row.default {
        Some(default) => format!("{about} [default: {default}]"),
        None => about.into(),
    }
}

/// The options that were given, by the names that every request has for them.
fn read(
    matches: &ArgMatches,
    rows: impl Iterator<Item = &'static OptionRow>,
) -> Result<Options, clap::Error> {
    let given = rows.filter_map(|row| Some((row.name.to_owned(), value(matches, row)?)));
    let given: Map<String, Value> = given.collect();
    Options::deserialize(Value::Object(given))
        .map_err(|error| clap::Error::raw(ErrorKind::InvalidValue, format!("{error}\n")))
}

fn value(matches: &ArgMatches, row: &OptionRow) -> Option<Value> {
    let name = row.name;
    Some(match row.kind {
        OptionKind::Flag => matches.get_flag(name).into(),
        OptionKind::Bool => (*matches.get_one::<bool>(name)?).into(),
        OptionKind::Count => (*matches.get_one::<usize>(name)?).into(),
        OptionKind::Text => matches.get_one::<String>(name)?.clone().into(),
        OptionKind::Choice(_) => match matches.get_one::<String>(name)?.as_str() {
            "cut" => "truncate".into(),
            choice => choice.into(),
        },
        // A byte-level vocabulary has words with a space before them.
        OptionKind::Texts => matches.get_many::<String>(name)?.cloned().collect(),
        OptionKind::Names => {
            let names = matches.get_many::<String>(name)?.map(|name| name.trim());
            let names = names.filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        }
    })
}
