//! What the conformance suite must know of an engine, there and back.

use std::slice;

use abi_stable::std_types::{RSlice, Tuple2};

use super::cells::{borrow_cells, lend_cells};
use super::convert::{bytes, string};
use super::types::{ACell, AQuirks, AValueQuirk, Code, Ext};
use crate::{Comes, Pointing, Quirks, Sample, Sharing, Value, ValueQuirk};

mod key {
    pub(super) const PARAMETER: u32 = 1;
    pub(super) const CREATE_TABLE: u32 = 2;
    pub(super) const CREATE_SCHEMA: u32 = 3;
    pub(super) const DROP_SCHEMA: u32 = 4;
    pub(super) const PAUSE: u32 = 5;
    pub(super) const POINTING: u32 = 6;
    pub(super) const SHARING: u32 = 7;
    /// One for each table.
    pub(super) const BESIDE_HISTORY: u32 = 8;
}

mod comes {
    pub(super) const BACK: u32 = 1;
    pub(super) const AS: u32 = 2;
    pub(super) const REFUSED: u32 = 3;
}

pub(super) fn export_quirks(quirks: Quirks) -> AQuirks {
    let Quirks {
        parameter,
        create_table,
        beside_history,
        create_schema,
        drop_schema,
        pause,
        sharing,
        pointing,
        values,
    } = quirks;
    let texts = [
        (key::PARAMETER, Some(parameter)),
        (key::CREATE_TABLE, Some(create_table)),
        (key::CREATE_SCHEMA, create_schema),
        (key::DROP_SCHEMA, drop_schema),
        (key::PAUSE, pause),
        (key::SHARING, Some(sharing.code().to_string())),
        (key::POINTING, Some(pointing.code().to_string())),
    ];
    let beside_history = beside_history.into_iter().map(|name| (key::BESIDE_HISTORY, Some(name)));
    let text = |(key, text): (u32, Option<String>)| Some(Tuple2(Code(key), bytes(text?)));
    AQuirks {
        values: values.into_iter().map(export_value).collect(),
        ext: texts.into_iter().chain(beside_history).filter_map(text).collect(),
    }
}

pub(super) fn import_quirks(quirks: AQuirks) -> Quirks {
    // What is not said is not there, and not what is usual.
    let mut imported = Quirks { create_schema: None, drop_schema: None, ..Quirks::default() };
    for Tuple2(key, text) in quirks.ext {
        let text = string(text);
        match key.0 {
            key::PARAMETER => imported.parameter = text,
            key::CREATE_TABLE => imported.create_table = text,
            key::CREATE_SCHEMA => imported.create_schema = Some(text),
            key::DROP_SCHEMA => imported.drop_schema = Some(text),
            key::BESIDE_HISTORY => imported.beside_history.push(text),
            key::PAUSE => imported.pause = Some(text),
            key::SHARING => imported.sharing = sharing(&text),
            key::POINTING => imported.pointing = pointing(&text),
            _ => {}
        }
    }
    imported.values = quirks.values.into_iter().filter_map(import_value).collect();
    imported
}

fn sharing(code: &str) -> Sharing {
    code.parse().ok().and_then(Sharing::from_code).unwrap_or(Sharing::Processes)
}

fn pointing(code: &str) -> Pointing {
    code.parse().ok().and_then(Pointing::from_code).unwrap_or(Pointing::Absent)
}

fn export_value(quirk: ValueQuirk) -> AValueQuirk {
    let (comes, value) = match quirk.comes {
        Comes::Back => (comes::BACK, Value::Null),
        Comes::As(value) => (comes::AS, value),
        Comes::Refused => (comes::REFUSED, Value::Null),
    };
    let cells = lend_cells(slice::from_ref(&value));
    AValueQuirk {
        sample: Code(quirk.sample.code()),
        through: bytes(quirk.through),
        comes: Code(comes),
        kind: cells[0].kind,
        type_kind: cells[0].type_kind,
        number: cells[0].number,
        bytes: cells[0].bytes.as_slice().into(),
        ext: Ext::new(),
    }
}

/// `None` for a sample that this version does not have.
fn import_value(quirk: AValueQuirk) -> Option<ValueQuirk> {
    let AValueQuirk { kind, type_kind, number, bytes, .. } = quirk;
    let cell = ACell { kind, type_kind, number, bytes: bytes.as_slice().into() };
    let comes = match quirk.comes.0 {
        comes::BACK => Comes::Back,
        comes::AS => Comes::As(borrow_cells(RSlice::from_slice(slice::from_ref(&cell)))?.pop()?.into_owned()),
        comes::REFUSED => Comes::Refused,
        _ => return None,
    };
    let sample = Sample::from_code(quirk.sample.0)?;
    Some(ValueQuirk { sample, through: string(quirk.through), comes })
}
