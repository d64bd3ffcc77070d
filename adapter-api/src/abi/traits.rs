//! The objects that cross the boundary.
//!
//! `AAdapter`, `AConnection`, `ACanceller` and `ADialect` lead from the host into the adapter; `AWork`, `AEvents`,
//! `ARowSink` and `ABody` lead back while a call is under way. No method panics: each side contains its own.
//!
//! A new method is added at the end, with a default body.

use abi_stable::library::RootModule;
use abi_stable::sabi_types::{RMut, VersionStrings};
use abi_stable::std_types::{RArc, RBox, ROption, RResult, RSlice};
use abi_stable::{StableAbi, package_version_strings, sabi_trait};

use super::types::{
    ACell, AConnectOptions, ADone, AError, AFacts, AFailure, AInfo, ALexer, ANext, ANotice, APiece, AQuirks,
    AReadError, ARowSet, ATableName, AText, ATexts, ATransactionOptions, Bytes, Code, Ext, Lent,
};

pub type AdapterBox = AAdapter_TO<'static, RBox<()>>;
pub type ConnectionBox = AConnection_TO<'static, RBox<()>>;
pub type ConnectionMut<'a> = AConnection_TO<'a, RMut<'a, ()>>;
pub type CancellerArc = ACanceller_TO<'static, RArc<()>>;
pub type DialectBox = ADialect_TO<'static, RBox<()>>;
pub type WorkMut<'a> = AWork_TO<'a, RMut<'a, ()>>;
pub type EventsMut<'a> = AEvents_TO<'a, RMut<'a, ()>>;
pub type RowSinkMut<'a> = ARowSink_TO<'a, RMut<'a, ()>>;
pub type BodyMut<'a> = ABody_TO<'a, RMut<'a, ()>>;

pub type Answer<T> = RResult<T, AError>;

#[repr(C)]
#[derive(StableAbi)]
pub struct AOpened {
    pub connection: ConnectionBox,
    pub canceller: CancellerArc,
    pub ext: Ext,
}

/// What the library exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef)))]
pub struct Root {
    /// Makes the adapter. The argument tells whether host and adapter are one program: see `header::image`.
    #[sabi(last_prefix_field)]
    pub adapter: extern "C" fn(host: usize) -> Answer<AdapterBox>,
}

impl RootModule for RootRef {
    abi_stable::declare_root_module_statics! {RootRef}
    const BASE_NAME: &'static str = "whimbrel_adapter";
    const NAME: &'static str = "whimbrel_adapter";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

#[sabi_trait]
pub trait AAdapter: Send + Sync {
    fn info(&self) -> Answer<AInfo>;
    fn check_url(&self, url: Lent<'_>) -> Answer<()>;
    fn connect(&self, options: AConnectOptions<'_>) -> Answer<AOpened>;
    #[sabi(last_prefix_field)]
    fn quirks(&self) -> Answer<AQuirks>;
}

// Not `Send`: abi_stable would demand `Sync` of the object that is lent to the body of a transaction.
#[sabi_trait]
pub trait AConnection {
    fn execute_raw(&mut self, script: Lent<'_>) -> Answer<()>;
    fn query(&mut self, sql: Lent<'_>, parameters: RSlice<'_, ACell<'_>>, rows: RowSinkMut<'_>)
    -> Answer<()>;
    fn read(&mut self, texts: RSlice<'_, Lent<'_>>, rows: RowSinkMut<'_>) -> RResult<(), AReadError>;
    fn table_exists(&mut self, name: ATableName<'_>) -> Answer<Code>;
    fn transaction(&mut self, options: ATransactionOptions<'_>, body: BodyMut<'_>) -> Answer<()>;
    fn run(&mut self, work: WorkMut<'_>, events: EventsMut<'_>) -> Answer<()>;
    fn alive(&mut self, attempt: Lent<'_>) -> Answer<Code>;
    fn dialect(&mut self, facts: ARowSet<'_>) -> Answer<DialectBox>;
    fn ping(&mut self) -> Answer<()>;
    /// By reference, because a lent connection has the same methods. It is not used afterwards.
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> Answer<()>;
}

#[sabi_trait]
pub trait ACanceller: Send + Sync {
    #[sabi(last_prefix_field)]
    fn cancel(&self) -> Answer<()>;
}

#[sabi_trait]
pub trait ADialect: Send + Sync {
    fn lexer(&self) -> Answer<ALexer>;
    fn facts(&self) -> Answer<AFacts>;
    fn quote(&self, identifier: Lent<'_>) -> Answer<Bytes>;
    fn literal(&self, value: RSlice<'_, ACell<'_>>) -> Answer<Bytes>;
    #[sabi(last_prefix_field)]
    fn text(&self, text: AText<'_>) -> Answer<ROption<ATexts>>;
}

#[sabi_trait]
pub trait AWork {
    fn next_batch(&mut self) -> ANext;
    /// The error says stop; its number has no meaning yet.
    #[sabi(last_prefix_field)]
    fn next_piece(&mut self) -> RResult<ROption<APiece<'_>>, Code>;
}

#[sabi_trait]
pub trait AEvents {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64);
    fn notice(&mut self, batch: u32, notice: ANotice);
    #[sabi(last_prefix_field)]
    fn finished(&mut self, batch: u32, outcome: RResult<ADone, AFailure>);
}

#[sabi_trait]
pub trait ARowSink {
    fn columns(&mut self, set: u32, names: RSlice<'_, Lent<'_>>);
    #[sabi(last_prefix_field)]
    fn row(&mut self, set: u32, cells: RSlice<'_, ACell<'_>>) -> Code;
}

#[sabi_trait]
pub trait ABody {
    #[sabi(last_prefix_field)]
    fn call(&mut self, connection: ConnectionMut<'_>) -> Code;
}
