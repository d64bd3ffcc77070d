//! Every crash of one run: at each thing that the server is asked to do, before it and after, of the runner, the
//! connection and the server.

use std::sync::Arc;

use whimbrel::Error;
use whimbrel::error::Name;
use whimbrel::migrator::Settlement;
use whimbrel::plan::Target;

use crate::crash::{Crash, Moment, Victim};
use crate::data::Data;
use crate::order::Order;
use crate::recovery::{recover, sound};
use crate::scene::{Command, Ended, run};
use crate::server::Kind;
use crate::sets::{Set, Stands};
use crate::world::World;

const KINDS: [Kind; 3] = [Kind::Embedded, Kind::Transactional, Kind::ImplicitCommits];

/// A command that is to be crashed.
struct Subject {
    set: Set,
    /// The set with which a person goes on afterwards.
    mended: Set,
    /// What was run before, and with which set.
    before: Vec<(Set, Command)>,
    /// What is there besides, put there by hand.
    by_hand: Vec<&'static str>,
    command: Command,
}

impl Subject {
    fn new(set: Set, before: &[Command], command: Command) -> Self {
        let before = before.iter().map(|command| (set.clone(), command.clone())).collect();
        Subject { mended: set.clone(), set, before, by_hand: Vec::new(), command }
    }

    /// Returns what is in a database before the command.
    fn data(&self, kind: Kind) -> Data {
        let world = World::new(kind, Data::default(), Order::LivingFirst);
        for (set, command) in &self.before {
            // It may end badly: to repair what it left is what some commands are for.
            let _ = run(&world, kind, set, command, None);
        }
        world.by_hand(|data| {
            data.things.extend(self.by_hand.iter().map(|thing| ((*thing).to_owned(), 1)));
        });
        world.data()
    }

    /// Returns the command's points when nothing crashes.
    fn points(&self, kind: Kind, data: &Data) -> u32 {
        run(&World::new(kind, data.clone(), Order::LivingFirst), kind, &self.set, &self.command, None).points
    }

    /// Crashes the command once, and lets somebody find the database afterwards.
    fn crash(&self, world: &Arc<World>, kind: Kind, crash: Crash) -> Result<(), String> {
        match (run(world, kind, &self.set, &self.command, Some(crash)).ended, crash.victim) {
            (Ended::Killed, Victim::Process) => {}
            (Ended::Badly(error), Victim::Connection | Victim::Server) => {
                world.settle();
                is_truly_told(&error, &self.mended, &world.data())?;
            }
            (ended, _) => return Err(format!("nobody noticed: {ended:?}")),
        }
        self.say_it_again(world, kind)?;
        if world.is_quiet() {
            sound(world, &self.mended)?;
        }
        recover(world, kind, &self.mended)
    }

    /// Says again what a person knows, which no `up` can find out by itself.
    fn say_it_again(&self, world: &Arc<World>, kind: Kind) -> Result<(), String> {
        if !matches!(self.command, Command::Repair(..) | Command::Baseline(_)) {
            return Ok(());
        }
        world.settle();
        match run(world, kind, &self.set, &self.command, None).ended {
            Ended::Well => Ok(()),
            Ended::Badly(error) if error.problems[0].name == Name::Refused => Ok(()),
            ended => Err(format!("once more it ends with {ended:?}")),
        }
    }
}

/// Checks what a runner says that has lost its connection, now that nothing of it is at work any more.
fn is_truly_told(error: &Error, set: &Set, data: &Data) -> Result<(), String> {
    // What fails by itself may have said so before the connection went.
    let names = [Name::Connection, Name::InDoubt, Name::PartlyApplied, Name::Statement];
    if !error.problems.iter().all(|problem| names.contains(&problem.name)) {
        return Err(format!("the lost connection is told as {error:?}"));
    }
    let state = error.problems.iter().filter_map(|problem| problem.state.as_deref()).collect::<String>();
    let untrue = set.scripts.iter().find(|scripts| {
        let says = |what: &str| state.contains(&format!("`{}` {what}", scripts.id));
        let stands = Set::stands(&scripts.id, data);
        (says("was rolled back") && stands != Stands::Pending)
            || (says("is still applied") && stands != Stands::Applied)
            || (says("was applied") && stands != Stands::Applied)
    });
    untrue.map_or(Ok(()), |scripts| Err(format!("`{}` does not stand as it says: {error:?}", scripts.id)))
}

/// Returns the sets that most commands are tried on.
fn sets() -> [Set; 3] {
    [
        Set::of(&[
            ("001_nests", "CREATE nests; PUT robin"),
            ("002_wren", "PUT wren"),
            ("003_eggs", "CREATE eggs; CREATE chicks; PUT finch"),
        ]),
        Set::of(&[
            ("001_robin", "PUT robin"),
            ("002_nests", "-- no-transaction\nCREATE nests; PUT wren; CREATE eggs"),
            ("003_finch", "PUT finch"),
        ]),
        // Longer than a lease.
        Set::of(&[
            ("001_nests", "-- no-transaction\nCREATE nests; LAST 60000; CREATE eggs"),
            ("002_finch", "PUT finch"),
        ]),
    ]
}

fn up() -> Command {
    Command::Up(Target::All)
}

/// Returns the orders in which the living and what the dead have left at work can go on.
fn orders(kind: Kind, crash: Crash) -> Vec<Order> {
    match (kind, crash.victim) {
        // Nothing is left at work.
        (Kind::Embedded, _) | (_, Victim::Server) => vec![Order::LivingFirst],
        _ => vec![Order::LivingFirst, Order::OrphansFirst],
    }
}

/// Crashes commands at every point in every way.
#[track_caller]
fn crash_everywhere(subjects: &[Subject]) {
    let mut crashed = 0;
    for (subject, kind) in subjects.iter().flat_map(|subject| KINDS.map(|kind| (subject, kind))) {
        let data = subject.data(kind);
        let points = subject.points(kind, &data);
        for crash in (1..=points).flat_map(|point| Crash::ways(kind, point)) {
            for order in orders(kind, crash) {
                let world = World::new(kind, data.clone(), order.clone());
                crashed += 1;
                if let Err(wrong) = subject.crash(&world, kind, crash) {
                    let command = &subject.command;
                    panic!("{command:?} on {kind:?}, {crash:?}, {order:?}: {wrong}\n{}", world.data());
                }
            }
        }
    }
    assert!(crashed > 50, "there were only {crashed} crashes");
}

#[test]
fn every_crash_of_an_up_is_finished_by_the_next_one() {
    crash_everywhere(&sets().map(|set| Subject::new(set, &[], up())));
}

#[test]
fn every_crash_of_a_down_leaves_what_the_history_says() {
    crash_everywhere(&sets().map(|set| Subject::new(set, &[up()], Command::Down(Target::Steps(2)))));
}

#[test]
fn every_crash_of_a_redo_leaves_what_the_history_says() {
    crash_everywhere(&sets().map(|set| Subject::new(set, &[up()], Command::Redo(2))));
}

/// Returns the set whose second migration fails at its first statement or later, and the set without that mistake.
fn failing(header: &str, before: &str) -> (Set, Set) {
    let with = |mistake: &str| {
        let second = format!("{header}{before}{mistake}; PUT wren");
        Set::of(&[("001_eggs", "PUT eggs"), ("002_nests", &second), ("003_finch", "PUT finch")])
    };
    (with("FAIL"), with("PUT heron"))
}

#[test]
fn every_crash_of_an_up_that_fails_is_finished_once_the_file_is_mended() {
    let before = ["", "CREATE nests; PUT robin; "];
    let ways =
        ["", "-- no-transaction\n"].into_iter().flat_map(|header| before.map(|before| (header, before)));
    let subjects = ways.map(|(header, before)| {
        let (set, mended) = failing(header, before);
        Subject { mended, ..Subject::new(set, &[], up()) }
    });
    crash_everywhere(&subjects.collect::<Vec<_>>());
}

#[test]
fn every_crash_of_a_repair_leaves_what_can_be_said_again() {
    let (set, mended) = failing("-- no-transaction\n", "CREATE nests; PUT robin; ");
    let repair = Command::Repair("002_nests".to_owned(), Settlement::Applied);
    let by_hand = vec!["nests", "robin", "heron", "wren"];
    crash_everywhere(&[Subject { before: vec![(set, up())], by_hand, ..Subject::new(mended, &[], repair) }]);
}

#[test]
fn every_crash_of_a_baseline_leaves_what_can_be_said_again() {
    let set = Set::of(&[("001_robin", "PUT robin"), ("002_wren", "PUT wren"), ("003_finch", "PUT finch")]);
    let baseline = Command::Baseline("002_wren".to_owned());
    let by_hand = vec!["robin", "wren"];
    crash_everywhere(&[Subject { by_hand, ..Subject::new(set, &[], baseline) }]);
}

/// The `up` that finds what a crash has left is no safer than the first.
#[test]
fn every_crash_of_an_up_after_every_crash_of_an_up_is_finished_by_the_next_one() {
    let set =
        Set::of(&[("001_robin", "PUT robin"), ("002_nests", "-- no-transaction\nCREATE nests; PUT wren")]);
    let first = Subject::new(set, &[], up());
    let kill = |point| {
        [Moment::Before, Moment::After].map(|moment| Crash { point, moment, victim: Victim::Process })
    };
    let mut crashed = 0;
    for kind in KINDS {
        for crash in (1..=first.points(kind, &Data::default())).flat_map(kill) {
            // The second run ends of itself when there are no more points in it.
            for second in (1..).map(|point| Crash { point, ..crash }) {
                let world = World::new(kind, Data::default(), Order::LivingFirst);
                let _ = run(&world, kind, &first.set, &up(), Some(crash));
                let ended = run(&world, kind, &first.set, &up(), Some(second)).ended;
                crashed += 1;
                if let Err(wrong) = recover(&world, kind, &first.set) {
                    panic!("{kind:?}, {crash:?}, then {second:?}: {wrong}\n{}", world.data());
                }
                if !matches!(ended, Ended::Killed) {
                    break;
                }
            }
        }
    }
    assert!(crashed > 500, "there were only {crashed} crashes");
}
