//! What every check has at hand: the adapter, a way in, and names of its own.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use whimbrel_adapter_api::texts::qualified;
use whimbrel_adapter_api::{
    Access, Adapter, Capability, ConnectOptions, Fence, Info, Opened, Quirks, TableName, Value,
};

use crate::client::Client;
use crate::finding::{During, Finding};
use crate::victim::Victim;

/// The adapter under test on its database.
pub(crate) struct Bench {
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) options: ConnectOptions,
    pub(crate) victim: Option<Victim>,
    pub(crate) info: Info,
    pub(crate) quirks: Quirks,
    /// The tables to drop, as their names stand in SQL.
    tables: Mutex<BTreeSet<String>>,
}

impl Bench {
    pub(crate) fn new(adapter: Arc<dyn Adapter>, options: ConnectOptions, victim: Option<Victim>) -> Self {
        let (info, quirks) = (adapter.info(), adapter.quirks());
        Bench { adapter, options, victim, info, quirks, tables: Mutex::default() }
    }

    pub(crate) fn can(&self, capability: Capability) -> bool {
        self.info.capabilities.contains(&capability)
    }

    pub(crate) fn has_keys(&self) -> bool {
        self.info.fence == Fence::UniqueKey
    }

    pub(crate) fn connect(&self) -> Result<Opened, Finding> {
        self.adapter.connect(&self.options).during("connect")
    }

    pub(crate) fn connect_for(&self, access: Access) -> Result<Opened, Finding> {
        let mut options = self.options.clone();
        options.access = access;
        self.adapter.connect(&options).during("connect")
    }

    /// Opens a session with a history table of its own, which is not there yet.
    pub(crate) fn client(&self) -> Result<Client, Finding> {
        let client = Client::open(self.connect()?, &TableName::new(self.name("history")))?;
        self.drop_history_later(&client);
        Ok(client)
    }

    /// Opens a session with a history table that is there.
    pub(crate) fn ready(&self) -> Result<Client, Finding> {
        let mut client = self.client()?;
        client.create_history()?;
        Ok(client)
    }

    /// Opens one more session with the history table of `client`.
    pub(crate) fn beside(&self, client: &Client) -> Result<Client, Finding> {
        Client::open(self.connect()?, &client.history)
    }

    /// Creates a table with a column `id` and a column `name`, and returns its name as it stands in SQL.
    pub(crate) fn table(&self, client: &mut Client) -> Result<String, Finding> {
        let table = self.new_table(client);
        client.execute(&self.create(&table))?;
        Ok(table)
    }

    /// Returns the name of a table that is not there, as it stands in SQL. It is dropped when it comes to be.
    pub(crate) fn new_table(&self, client: &Client) -> String {
        let table = client.dialect.quote(&self.name("birds"));
        self.drop_later(&table);
        table
    }

    pub(crate) fn create(&self, table: &str) -> String {
        self.quirks.create_table.replace("{}", table)
    }

    /// Returns a name that no other check uses, in this process or in another one, of this machine or of another.
    pub(crate) fn name(&self, what: &str) -> String {
        static SUITE: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("whimbrel_check_{what}_{:016x}_{}", *SUITE, NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Has a table dropped after the check.
    pub(crate) fn drop_later(&self, table: &str) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned());
    }

    /// Has a history dropped after the check, with what the adapter makes beside it.
    pub(crate) fn drop_history_later(&self, client: &Client) {
        self.drop_later(&client.qualified());
        for name in &self.quirks.beside_history {
            let mut table = client.history.clone();
            table.name = name.replace("{}", &client.history.name);
            self.drop_later(&qualified(client.dialect.as_ref(), &table));
        }
    }

    /// Drops what the check has created. What cannot be dropped stays: the check itself has its say.
    pub(crate) fn clear(&self) {
        let tables = std::mem::take(&mut *self.tables.lock().unwrap_or_else(PoisonError::into_inner));
        if tables.is_empty() {
            return;
        }
        if let Ok(mut opened) = self.adapter.connect(&self.options) {
            for table in tables {
                let _ = opened.connection.execute_raw(&format!("DROP TABLE IF EXISTS {table}"));
            }
        }
    }

    /// Returns a statement that is at work for so many seconds, if there is one.
    pub(crate) fn pause(&self, seconds: u32, table: &str) -> Result<String, Finding> {
        let why = "there is no statement that takes long (`Quirks::pause`) to show it with";
        let pause = self.quirks.pause.as_ref().ok_or_else(|| Finding::new(why))?;
        Ok(pause.replace("{table}", table).replace("{}", &seconds.to_string()))
    }

    /// Returns the placeholder of a parameter, counted from 1.
    pub(crate) fn parameter(&self, number: usize) -> String {
        self.quirks.parameter.replace("{}", &number.to_string())
    }
}

/// Returns a statement that adds a row.
pub(crate) fn insert(table: &str, id: i64, name: &str) -> String {
    format!("INSERT INTO {table} (id, name) VALUES ({id}, '{name}')")
}

/// Returns statements that add so many rows, and the names in them.
pub(crate) fn inserts(table: &str, count: i64) -> (Vec<String>, Vec<String>) {
    let name = |id| format!("bird {id:04}");
    ((1..=count).map(|id| insert(table, id, &name(id))).collect(), (1..=count).map(name).collect())
}

/// Returns the values of a column of text.
pub(crate) fn texts(rows: &[Vec<Value<'static>>]) -> Vec<String> {
    rows.iter().map(|row| row.first().and_then(Value::as_text).unwrap_or_default().to_owned()).collect()
}
