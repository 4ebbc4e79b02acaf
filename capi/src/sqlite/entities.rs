//! `entities(text, model)`: the labelled spans of a text as a table.

use super::arguments::Argument;
use super::functions::{failed, inapplicable};
use super::models::Models;
use crate::border::Failure;
use encoderfile::output::Entity;
use encoderfile::{Aggregation, Options, Values};
use rusqlite::ffi::{sqlite3_vtab, sqlite3_vtab_cursor};
use rusqlite::types::ValueRef;
use rusqlite::vtab::{
    Context, Filters, IndexConstraintOp, IndexInfo, Module, VTab, VTabConfig, VTabConnection,
    VTabCursor,
};
use rusqlite::{Connection, Error};
use std::borrow::Cow;
use std::ffi::{CStr, c_int};

const NAME: &str = "entities";

/// The last two are the arguments.
const SCHEMA: &CStr =
    c"CREATE TABLE x(entity TEXT, score REAL, word TEXT, start INTEGER, end INTEGER, text HIDDEN, model HIDDEN)";

const TEXT: c_int = 5;
const MODEL: c_int = 6;

/// In `filter`, which arguments there are: the text, or the text and the model.
const WITH_MODEL: c_int = 1;
const WITHOUT_TEXT: c_int = 2;

/// Adds it.
pub(super) fn register(connection: &Connection, models: Models) -> Result<(), Error> {
    const MODULE: Module<'static, Table> = Module::eponymous_only_module();
    connection.create_module(NAME, &MODULE, Some(models))
}

#[repr(C)]
struct Table {
    /// SQLite's part, which has to be the first.
    base: sqlite3_vtab,
    models: Models,
}

// SAFETY: it is `repr(C)` and begins with SQLite's part.
unsafe impl<'vtab> VTab<'vtab> for Table {
    type Aux = Models;
    type Cursor = Cursor<'vtab>;

    fn connect(
        connection: &mut VTabConnection,
        models: Option<&Models>,
        _module: &[u8],
        _database: &[u8],
        _table: &[u8],
        _arguments: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self), Error> {
        connection.config(VTabConfig::Innocuous)?;
        let table = Self {
            base: sqlite3_vtab::default(),
            models: models.cloned().unwrap_or_default(),
        };
        Ok((SCHEMA.into(), table))
    }

    /// `false` for a plan in which an argument comes too late.
    fn best_index(&self, info: &mut IndexInfo) -> Result<bool, Error> {
        let mut places = [None; 2];
        for (index, constraint) in info.constraints().enumerate() {
            let place = match constraint.column() {
                TEXT => 0,
                MODEL => 1,
                _ => continue,
            };
            if constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ {
                if !constraint.is_usable() {
                    return Ok(false);
                }
                places[place] = Some(index);
            }
        }
        for (argument, index) in (1..).zip(places.into_iter().flatten()) {
            let mut usage = info.constraint_usage(index);
            usage.set_argv_index(argument);
            usage.set_omit(true);
        }
        let [text, model] = places.map(|it| it.is_some());
        info.set_idx_num(match (text, model) {
            (true, true) => WITH_MODEL,
            (true, false) => 0,
            (false, _) => WITHOUT_TEXT,
        });
        info.set_estimated_cost(1e4);
        info.set_estimated_rows(10);
        Ok(true)
    }

    fn open(&'vtab mut self) -> Result<Cursor<'vtab>, Error> {
        Ok(Cursor {
            base: sqlite3_vtab_cursor::default(),
            models: &self.models,
            entities: Vec::new(),
            row: 0,
        })
    }
}

#[repr(C)]
struct Cursor<'vtab> {
    /// SQLite's part, which has to be the first.
    base: sqlite3_vtab_cursor,
    models: &'vtab Models,
    entities: Vec<Entity>,
    row: usize,
}

// SAFETY: it is `repr(C)` and begins with SQLite's part.
unsafe impl VTabCursor for Cursor<'_> {
    fn filter(
        &mut self,
        plan: c_int,
        _plan_text: Option<&str>,
        arguments: &Filters<'_>,
    ) -> Result<(), Error> {
        self.row = 0;
        self.entities = if plan == WITHOUT_TEXT {
            return Err(failed(Failure::NoText));
        } else {
            let mut values = arguments.iter();
            let mut next = || values.next().unwrap_or(ValueRef::Null);
            entities(self.models, next(), next()).map_err(failed)?
        };
        Ok(())
    }

    fn next(&mut self) -> Result<(), Error> {
        self.row = self.row.saturating_add(1);
        Ok(())
    }

    fn eof(&self) -> bool {
        self.row >= self.entities.len()
    }

    fn column(&self, context: &mut Context, column: c_int) -> Result<(), Error> {
        let Some(entity) = self.entities.get(self.row) else {
            return Ok(());
        };
        let integer = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        match column {
            0 => context.set_result(&entity.label.name()),
            1 => context.set_result(&f64::from(entity.score)),
            2 => context.set_result(&entity.word),
            3 => context.set_result(&integer(entity.start)),
            4 => context.set_result(&integer(entity.end)),
            _ => Ok(()),
        }
    }

    fn rowid(&self) -> Result<i64, Error> {
        Ok(i64::try_from(self.row).unwrap_or(i64::MAX))
    }
}

/// The spans of a text; none of NULL.
fn entities(
    models: &Models,
    text: ValueRef<'_>,
    model: ValueRef<'_>,
) -> Result<Vec<Entity>, Failure> {
    let argument = |name, value| Argument {
        function: NAME,
        name,
        value,
    };
    let Some(text) = argument("the text", text).text()? else {
        return Ok(Vec::new());
    };
    let model = models.get(argument("the model", model).text()?)?;
    let options = Options {
        aggregation: Some(Aggregation::Simple),
        ..Options::default()
    };
    match model.infer(text, &options)?.values {
        Values::Entities { entities } => Ok(entities),
        _ => Err(inapplicable(NAME, model.info().task)),
    }
}
