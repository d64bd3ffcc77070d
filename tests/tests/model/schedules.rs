//! Several runners at once, in orders that a seed decides, with crashes and without.
//!
//! `WHIMBREL_SEED=7` runs one schedule again, `WHIMBREL_SCHEDULES=100000` more of them than usual.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use whimbrel::error::Name;
use whimbrel::migrator::Settlement;
use whimbrel::plan::Target;

use crate::connection::ModelConnection;
use crate::crash::{Crash, Moment, Victim};
use crate::data::Data;
use crate::order::{Order, Random};
use crate::recovery::{recover, sound};
use crate::scene::{Command, Ended, run, run_over};
use crate::server::Kind;
use crate::sets::{Set, Stands};
use crate::world::World;

const KINDS: [Kind; 3] = [Kind::Embedded, Kind::Transactional, Kind::ImplicitCommits];

/// How many schedules a test runs unless told otherwise.
const SCHEDULES: u64 = 1000;

/// What several runners are told to do at once.
struct Meeting {
    set: Set,
    before: Vec<Command>,
    commands: Vec<Command>,
}

/// A [`Meeting`] on one kind of engine.
struct Prepared<'a> {
    kind: Kind,
    meeting: &'a Meeting,
    data: Data,
    /// What may be applied afterwards: what is when one runs after the other.
    allowed: BTreeSet<Vec<String>>,
}

/// Whether anything dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Crashes {
    Some,
    None,
}

/// Returns the sets.
fn sets() -> [Set; 3] {
    let schema_and_data = Set::of(&[
        ("001_nests", "CREATE nests; PUT robin"),
        ("002_wren", "PUT wren"),
        ("003_eggs", "CREATE eggs; PUT finch"),
    ]);
    let step_by_step = Set::of(&[
        ("001_robin", "PUT robin"),
        ("002_nests", "-- no-transaction\nCREATE nests; PUT wren; CREATE eggs"),
        ("003_finch", "PUT finch"),
    ]);
    let longer_than_a_lease = Set::of(&[
        ("001_nests", "-- no-transaction\nCREATE nests; LAST 45000; CREATE eggs"),
        ("002_finch", "LAST 45000; PUT finch"),
    ]);
    [schema_and_data, step_by_step, longer_than_a_lease]
}

fn up() -> Command {
    Command::Up(Target::All)
}

fn one(command: fn(Target) -> Command) -> Command {
    command(Target::Steps(1))
}

/// Returns what meets in the tests.
fn meetings() -> Vec<Meeting> {
    let mut meetings = Vec::new();
    for set in sets() {
        let mut add = |before: &[Command], commands: &[Command]| {
            meetings.push(Meeting { set: set.clone(), before: before.to_vec(), commands: commands.to_vec() });
        };
        add(&[], &[up(), up()]);
        add(&[], &[up(), up(), up(), up()]);
        add(&[], &[one(Command::Up), one(Command::Up)]);
        add(&[one(Command::Up)], &[up(), one(Command::Down)]);
        add(&[one(Command::Up)], &[up(), up(), one(Command::Down)]);
        add(&[up()], &[one(Command::Down), one(Command::Down)]);
        add(&[up()], &[Command::Redo(1), up()]);
        add(&[up()], &[Command::Redo(2), one(Command::Down)]);
    }
    meetings
}

/// Runs schedules, or the one that the environment names. Returns how the runners ended.
#[track_caller]
#[must_use]
fn explore(meetings: &[Meeting], crashes: Crashes) -> String {
    let prepared: Vec<Prepared<'_>> =
        meetings.iter().flat_map(|meeting| KINDS.map(|kind| Prepared::new(kind, meeting))).collect();
    let seeds = seeds();
    let mut met = BTreeMap::new();
    for seed in seeds.clone() {
        let mut random = Random::new(seed);
        let prepared = random.one_of(&prepared);
        if let Err(wrong) = prepared.play(random, crashes, &mut met) {
            let Meeting { before, commands, .. } = prepared.meeting;
            panic!("WHIMBREL_SEED={seed}: {commands:?} after {before:?} on {:?}: {wrong}", prepared.kind);
        }
    }
    format!("{} schedules: {met:?}", seeds.count())
}

fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    match number("WHIMBREL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WHIMBREL_SCHEDULES").unwrap_or(SCHEDULES),
    }
}

impl<'a> Prepared<'a> {
    fn new(kind: Kind, meeting: &'a Meeting) -> Self {
        let after = |data: &Data, commands: &[Command]| {
            let world = World::new(kind, data.clone(), Order::LivingFirst);
            for command in commands {
                let ended = run(&world, kind, &meeting.set, command, None).ended;
                assert!(matches!(ended, Ended::Well), "{command:?} on {kind:?} alone: {ended:?}");
            }
            world.data()
        };
        let data = after(&Data::default(), &meeting.before);
        let orders = orders(&meeting.commands);
        let allowed =
            orders.iter().map(|commands| applied_in(&meeting.set, &after(&data, commands))).collect();
        Prepared { kind, meeting, data, allowed }
    }

    fn play(
        &self,
        mut random: Random,
        crashes: Crashes,
        met: &mut BTreeMap<&str, u64>,
    ) -> Result<(), String> {
        let Prepared { kind, meeting: Meeting { set, commands, .. }, .. } = self;
        let planned: Vec<Option<Crash>> =
            commands.iter().map(|_| crash(&mut random, crashes, *kind)).collect();
        let world = World::new(*kind, self.data.clone(), Order::Random(random));
        let runners: Vec<_> =
            commands.iter().zip(planned).map(|(command, crash)| (set, command, crash)).collect();
        let ended = meet(&world, *kind, &runners);
        world.settle();
        sound(&world, set).map_err(|wrong| format!("{wrong}\n{ended:?}\n{}", world.data()))?;
        for ended in &ended {
            *met.entry(allowed(ended, crashes)?).or_default() += 1;
        }
        let applied = applied_in(set, &world.data());
        if crashes == Crashes::None && !self.allowed.contains(&applied) {
            return Err(format!(
                "{applied:?} are applied, and not one of {:?}\n{}",
                self.allowed,
                world.data()
            ));
        }
        recover(&world, *kind, set).map_err(|wrong| format!("afterwards {wrong}\n{}", world.data()))
    }
}

/// Runs commands at once. Returns how each of them ended.
fn meet(world: &Arc<World>, kind: Kind, runners: &[(&Set, &Command, Option<Crash>)]) -> Vec<Ended> {
    // All of them have entered before the first takes a step.
    let connections = runners.iter().map(|(_, _, crash)| ModelConnection::open(world, kind, *crash));
    let connections: Vec<ModelConnection> = connections.collect();
    thread::scope(|scope| {
        let threads = connections.into_iter().zip(runners).map(|(connection, runner)| {
            let (set, command, _) = *runner;
            scope.spawn(move || run_over(connection, set, command).ended)
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().expect("a runner does not panic")).collect()
    })
}

/// Returns a crash for one runner, or none.
fn crash(random: &mut Random, crashes: Crashes, kind: Kind) -> Option<Crash> {
    if crashes == Crashes::None || random.below(2) == 0 {
        return None;
    }
    let point = 1 + random.below(25) as u32;
    let moment = *random.one_of(&[Moment::Before, Moment::After]);
    Some(Crash { point, moment, victim: *random.one_of(Victim::of(kind)) })
}

/// Returns how a command ended, if it may end so.
fn allowed(ended: &Ended, crashes: Crashes) -> Result<&'static str, String> {
    let error = match ended {
        Ended::Well => return Ok("well"),
        Ended::Killed if crashes == Crashes::Some => return Ok("killed"),
        Ended::Killed => return Err("nobody can go on".to_owned()),
        Ended::Badly(error) => error,
    };
    match error.problems.first().map(|problem| problem.name) {
        Some(Name::Connection | Name::InDoubt) if crashes == Crashes::Some => Ok("without connection"),
        Some(Name::PartlyApplied) if crashes == Crashes::Some => Ok("partly applied"),
        _ => Err(format!("it ends with {error:?}")),
    }
}

/// Returns every order in which these commands can follow each other. What is chosen at the first look stays chosen,
/// so two that are alike may count as one, and a `down` as the first half of a `redo`.
fn orders(commands: &[Command]) -> Vec<Vec<Command>> {
    let mut orders = Vec::new();
    for mask in 1..1_u32 << commands.len() {
        let chosen: Vec<&Command> = (0..commands.len())
            .filter(|index| mask >> index & 1 == 1)
            .map(|index| &commands[index])
            .collect();
        let is_chosen = |command: &Command| chosen.iter().any(|chosen| stands_for(chosen, command));
        if commands.iter().all(is_chosen) {
            permute(&chosen, &mut Vec::new(), &mut orders);
        }
    }
    orders
}

fn stands_for(one: &Command, other: &Command) -> bool {
    let is_first_half = matches!((one, other), (Command::Redo(_), Command::Down(_)));
    is_first_half || format!("{one:?}") == format!("{other:?}")
}

fn permute(left: &[&Command], taken: &mut Vec<Command>, orders: &mut Vec<Vec<Command>>) {
    if left.is_empty() {
        orders.push(taken.clone());
    }
    for (index, command) in left.iter().enumerate() {
        let rest: Vec<&Command> = left[..index].iter().chain(&left[index + 1..]).copied().collect();
        taken.push((*command).clone());
        permute(&rest, taken, orders);
        taken.pop();
    }
}

/// Returns what is applied.
fn applied_in(set: &Set, data: &Data) -> Vec<String> {
    let ids = set.scripts.iter().map(|scripts| scripts.id.clone());
    ids.filter(|id| Set::stands(id, data) == Stands::Applied).collect()
}

#[test]
fn runners_that_meet_behave_as_one_after_the_other() {
    println!("{}", explore(&meetings(), Crashes::None));
}

#[test]
fn runners_that_meet_and_die_leave_what_the_next_up_finishes() {
    println!("{}", explore(&meetings(), Crashes::Some));
}

/// Both look before either has done anything, so both have chosen the same migration.
#[test]
fn two_runs_that_saw_the_same_history_settle_one_migration() {
    for set in sets() {
        let count = set.scripts.len();
        let meetings = [
            (vec![], one(Command::Up), 1),
            (vec![up()], one(Command::Down), count - 1),
            (vec![up()], Command::Redo(1), count),
        ];
        for ((before, command, applied), kind) in
            meetings.iter().flat_map(|meeting| KINDS.map(move |kind| (meeting, kind)))
        {
            let first = World::new(kind, Data::default(), Order::LivingFirst);
            before.iter().for_each(|command| drop(run(&first, kind, &set, command, None)));
            let world = World::new(kind, first.data(), Order::InTurn(0));
            let ended = meet(&world, kind, &[(&set, command, None), (&set, command, None)]);
            let told = format!("{command:?} on {kind:?}: {ended:?}\n{}", world.data());
            assert!(ended.iter().all(|ended| matches!(ended, Ended::Well)), "{told}");
            assert_eq!(
                (applied_in(&set, &world.data()).len(), sound(&world, &set)),
                (*applied, Ok(())),
                "{told}"
            );
        }
    }
}

/// Somebody says where a migration that failed is to go on, while somebody else already goes on with it.
#[test]
fn a_repair_beside_an_up_runs_no_statement_twice() {
    let with = |third: &str| {
        let second = format!("-- no-transaction\nCREATE nests; PUT robin; {third}; PUT wren");
        Set::of(&[("001_eggs", "PUT eggs"), ("002_nests", &second), ("003_finch", "PUT finch")])
    };
    let (failing, mended) = (with("FAIL"), with("PUT heron"));
    let repair = Command::Repair("002_nests".to_owned(), Settlement::ResumeAt(3));
    for (seed, kind) in seeds().flat_map(|seed| KINDS.map(|kind| (seed, kind))).take(500) {
        let first = World::new(kind, Data::default(), Order::LivingFirst);
        let _ = run(&first, kind, &failing, &up(), None);
        let world = World::new(kind, first.data(), Order::Random(Random::new(seed)));
        let ended = meet(&world, kind, &[(&mended, &up(), None), (&mended, &repair, None)]);
        let told = format!("WHIMBREL_SEED={seed} on {kind:?}: {ended:?}\n{}", world.data());
        let is_too_late = |ended: &Ended| match ended {
            Ended::Badly(error) => [Name::Refused, Name::LockHeld].contains(&error.problems[0].name),
            Ended::Well | Ended::Killed => false,
        };
        assert!(matches!(ended[0], Ended::Well), "{told}");
        assert!(matches!(ended[1], Ended::Well) || is_too_late(&ended[1]), "{told}");
        assert_eq!(recover(&world, kind, &mended), Ok(()), "{told}");
    }
}

/// The count of the row that is finished tells that the transaction was not ours any more.
#[test]
fn a_script_that_leaves_its_transaction_unseen_is_not_taken_for_applied() {
    let set = Set::of(&[("001_robin", "PUT robin; ESCAPE; PUT wren")]);
    for kind in KINDS {
        let world = World::new(kind, Data::default(), Order::LivingFirst);
        let ended = run(&world, kind, &set, &up(), None).ended;
        let Ended::Badly(error) = ended else { panic!("{kind:?}: {ended:?}") };
        assert_eq!(error.exit_code(), 5, "{kind:?}: {error:?}");
    }
}
