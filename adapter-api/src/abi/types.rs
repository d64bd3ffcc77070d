//! The records that cross the boundary.
//!
//! Text crosses as bytes and is checked by whoever receives it: a `str` that is not UTF-8 would be undefined
//! behaviour in the receiver. Alternatives cross as [`Code`], so that a later version may add one. Every record but
//! [`ACell`], [`ASpan`] and [`AText`], which grow by new codes, ends in a list of further facts: abi_stable refuses a
//! record with a new field, in both directions.
//!
//! Fields are frozen: `frozen/` holds what must not change.

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RSlice, RVec, Tuple2};

/// The number of an alternative.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

/// Text or bytes that the receiver keeps.
pub type Bytes = RVec<u8>;

/// Text or bytes that the receiver may read until the call returns.
pub type Lent<'a> = RSlice<'a, u8>;

/// Further facts, by key. A key that the receiver does not know is passed over, unless it has the bit [`MUST_BE_KNOWN`].
pub type Ext = RVec<Tuple2<Code, Bytes>>;

/// The bit of a key in what a program sends that changes what is asked for: an adapter that does not know it refuses. In what an
/// adapter sends it means nothing.
pub const MUST_BE_KNOWN: u32 = 1 << 31;

/// Further facts, borrowed.
pub type LentExt<'a> = RSlice<'a, Tuple2<Code, Lent<'a>>>;

#[repr(C)]
#[derive(StableAbi)]
pub struct AError {
    pub kind: Code,
    pub retry: Code,
    pub session: Code,
    pub message: Bytes,
    /// Everything that most errors do not have: see `convert::error_key`.
    pub ext: Ext,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct AReadError {
    pub set: u32,
    pub error: AError,
    pub ext: Ext,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct AInfo {
    pub name: Bytes,
    pub version: Bytes,
    pub aliases: RVec<Bytes>,
    pub schemes: RVec<Bytes>,
    pub capabilities: RVec<Code>,
    pub fence: Code,
    pub ext: Ext,
}

/// What the conformance suite must know: its texts are all in `ext`, see `quirks::key`.
#[repr(C)]
#[derive(StableAbi)]
pub struct AQuirks {
    pub values: RVec<AValueQuirk>,
    pub ext: Ext,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct AValueQuirk {
    pub sample: Code,
    pub through: Bytes,
    pub comes: Code,
    /// What it comes as, in the parts of an [`ACell`].
    pub kind: Code,
    pub type_kind: Code,
    pub number: u64,
    pub bytes: Bytes,
    pub ext: Ext,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct AConnectOptions<'a> {
    pub url: Lent<'a>,
    pub application: Lent<'a>,
    pub access: Code,
    pub ext: LentExt<'a>,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct ATableName<'a> {
    pub schema: ROption<Lent<'a>>,
    pub name: Lent<'a>,
    pub ext: LentExt<'a>,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct ATransactionOptions<'a> {
    pub isolation: Code,
    pub access: Code,
    pub ext: LentExt<'a>,
}

/// One value, or the head of an array: then `number` says how many items follow it in the same list, each of which
/// may be an array again. A row is one flat list that way, and no record contains itself.
///
/// A kind that is added later takes one cell, with its value as text in `bytes`: that is how an older receiver takes it.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct ACell<'a> {
    pub kind: Code,
    /// The kind of a typed value, else 0.
    pub type_kind: Code,
    /// A truth value, a number, the bits of a float, or the length of an array.
    pub number: u64,
    /// Text or bytes.
    pub bytes: Lent<'a>,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct ARowSet<'a> {
    pub columns: RSlice<'a, Lent<'a>>,
    pub rows: RSlice<'a, RSlice<'a, ACell<'a>>>,
    pub ext: LentExt<'a>,
}

/// The answer to a pull of the next batch.
#[repr(C)]
#[derive(StableAbi)]
pub struct ANext {
    pub kind: Code,
    pub head: ROption<AHead>,
    pub ext: Ext,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct AHead {
    pub attempt: Bytes,
    pub mode: Code,
    pub outside: RVec<Bytes>,
    pub opening: RVec<Bytes>,
    pub preparation: RVec<Bytes>,
    pub mark: ROption<Bytes>,
    pub closing: RVec<Bytes>,
    pub settles: ROption<u32>,
    pub failed: RVec<Bytes>,
    pub cleanup: RVec<Bytes>,
    pub commit: Code,
    pub statements: u64,
    pub ext: Ext,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct APiece<'a> {
    pub kind: Code,
    pub rest: Code,
    pub text: Lent<'a>,
    pub spans: RSlice<'a, ASpan>,
    pub ext: LentExt<'a>,
}

/// The same bytes as [`Span`](crate::Span), so that a list of them crosses without a copy.
#[repr(C)]
#[derive(StableAbi)]
pub struct ASpan {
    pub start: u32,
    pub end: u32,
    pub marking: u32,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct ANotice {
    pub severity: Bytes,
    pub sqlstate: ROption<Bytes>,
    pub message: Bytes,
    pub ext: Ext,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct ADone {
    pub statements: u64,
    pub ext: Ext,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct AFailure {
    pub phase: Code,
    /// Which statement, in the phase that has one.
    pub statement: u64,
    pub error: AError,
    pub completed: u64,
    pub committed: u64,
    pub state: Code,
    pub ext: Ext,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct ALexer {
    pub features: RVec<Code>,
    pub comment_version: u32,
    pub patterns: RVec<APattern>,
    pub plain_control: RVec<Bytes>,
    pub ext: Ext,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct APattern {
    pub words: Bytes,
    pub class: Code,
    pub ext: Ext,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct AFacts {
    pub server: Bytes,
    pub database: Bytes,
    pub schema: Bytes,
    pub history_schema: ROption<Bytes>,
    pub largest_message: ROption<u64>,
    pub tables_without_transactions: RVec<Bytes>,
    pub ext: Ext,
}

/// A text that the host asks for: its number and its arguments by key.
#[repr(C)]
#[derive(StableAbi)]
pub struct AText<'a> {
    pub text: Code,
    pub arguments: LentExt<'a>,
}

/// The answer to an [`AText`].
#[repr(C)]
#[derive(StableAbi)]
pub struct ATexts {
    pub texts: RVec<Bytes>,
    pub ext: Ext,
}
