//! Values in a row, as parameters, and in facts.
//!
//! Text and bytes stay where they are; only the list of cells is built for the call.

use std::borrow::Cow;
use std::slice::Iter;

use abi_stable::std_types::RSlice;

use super::convert::text;
use super::types::{ACell, Code, Lent};
use crate::{Value, ValueKind};

mod kind {
    pub(super) const NULL: u32 = 0;
    pub(super) const BOOL: u32 = 1;
    pub(super) const INT: u32 = 2;
    pub(super) const UINT: u32 = 3;
    pub(super) const FLOAT: u32 = 4;
    pub(super) const TEXT: u32 = 5;
    pub(super) const BYTES: u32 = 6;
    pub(super) const TYPED: u32 = 7;
    pub(super) const ARRAY: u32 = 8;
}

/// How deep arrays may nest. Enough for every engine, and it keeps a list that lies from using up the stack.
const DEPTH: u32 = 32;

pub(super) fn lend_cells<'a>(values: &'a [Value<'_>]) -> Vec<ACell<'a>> {
    let mut cells = Vec::with_capacity(values.len());
    values.iter().for_each(|value| lend(value, &mut cells));
    cells
}

fn lend<'a>(value: &'a Value<'_>, cells: &mut Vec<ACell<'a>>) {
    let plain = |kind, number| cell(kind, 0, number, &[]);
    cells.push(match value {
        Value::Null => plain(kind::NULL, 0),
        Value::Bool(truth) => plain(kind::BOOL, u64::from(*truth)),
        Value::Int(number) => plain(kind::INT, number.cast_unsigned()),
        Value::UInt(number) => plain(kind::UINT, *number),
        Value::Float(number) => plain(kind::FLOAT, number.to_bits()),
        Value::Text(text) => cell(kind::TEXT, 0, 0, text.as_bytes()),
        Value::Bytes(bytes) => cell(kind::BYTES, 0, 0, bytes),
        Value::Typed(type_kind, text) => cell(kind::TYPED, type_kind.code(), 0, text.as_bytes()),
        Value::Array(items) => plain(kind::ARRAY, items.len() as u64),
    });
    if let Value::Array(items) = value {
        items.iter().for_each(|item| lend(item, cells));
    }
}

fn cell(kind: u32, type_kind: u32, number: u64, bytes: &[u8]) -> ACell<'_> {
    ACell { kind: Code(kind), type_kind: Code(type_kind), number, bytes: Lent::from_slice(bytes) }
}

/// `None` when the list ends inside an array, or arrays nest too deeply.
pub(super) fn borrow_cells<'a>(cells: RSlice<'a, ACell<'a>>) -> Option<Vec<Value<'a>>> {
    let mut cells = cells.as_slice().iter();
    let mut values = Vec::with_capacity(cells.len());
    while cells.len() > 0 {
        values.push(borrow(&mut cells, DEPTH)?);
    }
    Some(values)
}

fn borrow<'a>(cells: &mut Iter<'a, ACell<'a>>, depth: u32) -> Option<Value<'a>> {
    let cell = cells.next()?;
    Some(match cell.kind.0 {
        kind::NULL => Value::Null,
        kind::BOOL => Value::Bool(cell.number != 0),
        kind::INT => Value::Int(cell.number.cast_signed()),
        kind::UINT => Value::UInt(cell.number),
        kind::FLOAT => Value::Float(f64::from_bits(cell.number)),
        kind::TEXT => Value::Text(text(cell.bytes)),
        kind::BYTES => Value::Bytes(Cow::Borrowed(cell.bytes.as_slice())),
        kind::ARRAY => {
            let depth = depth.checked_sub(1)?;
            // Every item takes at least one cell, so a larger number is a lie and must not become an allocation.
            let length = usize::try_from(cell.number).ok().filter(|length| *length <= cells.len())?;
            Value::Array((0..length).map(|_| borrow(cells, depth)).collect::<Option<_>>()?)
        }
        // A kind that a newer version added still has a text.
        _ => {
            let type_kind = ValueKind::from_code(cell.type_kind.0).unwrap_or(ValueKind::Other);
            Value::Typed(type_kind, text(cell.bytes))
        }
    })
}
