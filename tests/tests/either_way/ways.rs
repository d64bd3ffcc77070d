//! The ways to meet an adapter: linked in or loaded, on a plain thread or on one of a tokio runtime.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::{fmt, thread};

use tokio::runtime::Builder;
use whimbrel::AdapterFactory;
use whimbrel::config::{Caller, Config, Flags};
use whimbrel::factory::{Provider, Rule};
use whimbrel::plugin::Search;
use whimbrel_adapter_api::{Adapter, Secret};
use whimbrel_tests::{built_file, probe_library};

/// Asserts what it expects, and returns all that it was told.
pub(crate) type Check = fn(&dyn Adapter) -> Vec<String>;

/// An adapter that is there as a crate and as a library.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    /// A stranger's, whose library was built outside the workspace.
    Probe,
    /// Our own over the same engine.
    Sqlite,
}

/// How an adapter comes into the program.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Linked,
    Loaded,
}

/// Where a check runs.
#[derive(Clone, Copy, Debug)]
enum Place {
    PlainThread,
    /// Where the only thread of a runtime drives its futures.
    CurrentThread,
    /// Where one of several threads of a runtime drives its futures.
    Worker,
    /// Where a runtime has the work done that blocks.
    Blocking,
}

/// One way of all. `Display` names the thread of a check, so that a failing assertion says where it stood.
#[derive(Clone, Copy, Debug)]
struct Way {
    subject: Subject,
    origin: Origin,
    place: Place,
}

/// Runs the check in every way, and asserts of each adapter that all ways tell the same.
pub(crate) fn the_same_either_way(subjects: &[Subject], check: Check) {
    for subject in subjects {
        let told: Vec<(Way, Vec<String>)> =
            ways(*subject).into_iter().map(|way| (way, way.run(check))).collect();
        let (first, expected) = &told[0];
        assert!(!expected.is_empty(), "{first}: a check that tells nothing compares nothing");
        for (way, lines) in &told {
            assert_eq!(lines, expected, "{way}, and not as {first}");
        }
    }
}

fn ways(subject: Subject) -> Vec<Way> {
    let places = [Place::PlainThread, Place::CurrentThread, Place::Worker, Place::Blocking];
    let of = |origin| places.map(|place| Way { subject, origin, place });
    [of(Origin::Linked), of(Origin::Loaded)].concat()
}

impl Way {
    fn run(self, check: Check) -> Vec<String> {
        let adapter = self.subject.adapter(self.origin);
        let body = move || check(adapter.as_ref());
        let name = self.to_string();
        let thread = thread::Builder::new().name(name.clone());
        let outcome = match self.place {
            Place::PlainThread => thread.spawn(body).expect("a thread starts").join(),
            Place::CurrentThread => {
                let runtime = Builder::new_current_thread().build().expect("a runtime starts");
                let inside = thread.spawn(move || runtime.block_on(async { body() }));
                inside.expect("a thread starts").join()
            }
            Place::Worker | Place::Blocking => {
                let runtime = Builder::new_multi_thread().worker_threads(2).thread_name(name).build();
                let runtime = runtime.expect("a runtime starts");
                let task = match self.place {
                    Place::Worker => runtime.spawn(async move { body() }),
                    _ => runtime.spawn_blocking(body),
                };
                runtime.block_on(task).map_err(|error| error.into_panic())
            }
        };
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} {:?} {:?}", self.subject, self.origin, self.place)
    }
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Subject::Probe => "probe",
            Subject::Sqlite => "sqlite",
        }
    }

    /// Returns the adapter as an application gets it that has a folder of its name.
    fn adapter(self, origin: Origin) -> Arc<dyn Adapter> {
        let factory = match origin {
            Origin::Linked => AdapterFactory::new(Search::nowhere()).with_linked(match self {
                Subject::Probe => Arc::new(whimbrel_adapter_probe::Probe),
                Subject::Sqlite => Arc::new(whimbrel_adapter_sqlite::Sqlite),
            }),
            Origin::Loaded => {
                let library = match self {
                    Subject::Probe => probe_library().to_owned(),
                    Subject::Sqlite => built_file("libwhimbrel_adapter_sqlite.so"),
                };
                let folder = library.parent().expect("its folder");
                AdapterFactory::new(Search::nowhere().directory(folder))
            }
        };
        let url = Secret::new(format!("{}:birds.db", self.name()));
        let flags = Flags { caller: Caller::Application, url: Some(url), ..Flags::default() };
        let config = Config::from_flags(&flags).expect("nothing is configured");
        let database = config.database(Some(self.name())).expect("it is named");
        let choice = factory.choose(&database).expect("the adapter is there");
        assert_eq!(choice.rule, Rule::FolderName { adapter: self.name().to_owned() });
        assert_eq!(matches!(choice.provider, Provider::Linked), matches!(origin, Origin::Linked));
        choice.adapter
    }
}
