//! What a person does after a crash, and what must come of it.

use std::sync::Arc;

use whimbrel::Error;
use whimbrel::error::Name;
use whimbrel::migrator::Settlement;
use whimbrel::plan::Target;

use crate::scene::{Command, Ended, run};
use crate::server::Kind;
use crate::sets::{Set, Stands};
use crate::world::World;

/// Runs `up` until everything is applied, as somebody would who finds a database in whatever state.
///
/// Every `up` must end well, save where the last one left a migration in part that no transaction could take back:
/// then it may say so. What it says must be true, and the way out that it names must lead out.
///
/// Whatever is wrong is an error.
pub(crate) fn recover(world: &Arc<World>, kind: Kind, set: &Set) -> Result<(), String> {
    let up = Command::Up(Target::All);
    // Each way out settles one migration; one `up` more must do, and another beside what the dead have left at work.
    for _ in 0..=set.scripts.len() + 1 {
        let quiet = world.is_quiet();
        let error = match run(world, kind, set, &up, None).ended {
            Ended::Well if !quiet => {
                // What a dead runner took back meanwhile comes after this `up`.
                world.settle();
                continue;
            }
            Ended::Well => return finished(world, kind, set),
            Ended::Killed => return Err(format!("it never ends: {:?}", world.faults())),
            Ended::Badly(error) => error,
        };
        if error.problems.iter().any(|problem| problem.name != Name::PartlyApplied) {
            return Err(format!("the next up fails: {error:?}"));
        }
        world.settle();
        sound(world, set)?;
        settle_by_hand(world, kind, set, &error)?;
    }
    Err("there is no way out".to_owned())
}

/// Takes the stated way out: `repair`, after making true what is said by it.
fn settle_by_hand(world: &Arc<World>, kind: Kind, set: &Set, error: &Error) -> Result<(), String> {
    let data = world.data();
    let half = |id: &str| matches!(Set::stands(id, &data), Stands::Half { .. });
    let scripts = set.scripts.iter().find(|scripts| half(&scripts.id));
    let scripts =
        scripts.ok_or_else(|| format!("nothing is partly applied, and it is said so: {error:?}"))?;
    let Stands::Half { direction, noted, state } = Set::stands(&scripts.id, &data) else {
        unreachable!("it was just found so")
    };
    let told = format!("{error:?}");
    let counts = [format!("{noted} of "), format!("statement {} ", noted + 1)];
    if !(told.contains(&scripts.id) && counts.iter().any(|count| told.contains(count))) {
        return Err(format!("{noted} statements of `{}` are noted, and it says: {told}", scripts.id));
    }
    let settlement = match (direction.as_str(), state.as_str()) {
        // What was under way is in or not, and a person can tell.
        ("up", "started") => Settlement::ResumeAt(scripts.done(&data, noted) + 1),
        ("up", _) => return Err(format!("nothing was under way, and it does not go on: {told}")),
        _ => {
            world.by_hand(|data| scripts.complete_by_hand(data));
            Settlement::Applied
        }
    };
    match run(world, kind, set, &Command::Repair(scripts.id.clone(), settlement), None).ended {
        Ended::Well => Ok(()),
        ended => Err(format!("the way out is closed: {ended:?}")),
    }
}

/// Checks that everything is applied, once each, and that one more `up` finds nothing to do.
fn finished(world: &Arc<World>, kind: Kind, set: &Set) -> Result<(), String> {
    world.settle();
    sound(world, set)?;
    let data = world.data();
    set.incomplete(&data).map_or(Ok(()), Err)?;
    match run(world, kind, set, &Command::Up(Target::All), None).ended {
        Ended::Well if world.data() == data => Ok(()),
        ended => Err(format!("one more up should find nothing to do: {ended:?}")),
    }
}

/// Checks what holds whenever nobody is at work: the history says what is there, no more and no less.
pub(crate) fn sound(world: &World, set: &Set) -> Result<(), String> {
    let wrong = world.faults().into_iter().next().or_else(|| set.disagreement(&world.data()));
    wrong.map_or(Ok(()), Err)
}
