//! Who takes the next step.

use crate::server::SessionId;

/// The order in which those take their steps who can.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// What the server still does for the dead comes after everything that the living want.
    LivingFirst,
    /// What the server still does for the dead comes first.
    OrphansFirst,
    /// The living in turn, beginning with the one after this.
    InTurn(SessionId),
    /// Any of them, as the numbers say.
    Random(Random),
}

impl Order {
    /// Chooses one of the sessions that can take a step.
    pub(crate) fn choose(&mut self, living: &[SessionId], orphans: &[SessionId]) -> Option<SessionId> {
        match self {
            Order::LivingFirst => living.first().or(orphans.first()).copied(),
            Order::OrphansFirst => orphans.first().or(living.first()).copied(),
            Order::InTurn(last) => {
                let next = living.iter().find(|id| **id > *last).or(living.first()).or(orphans.first());
                *last = *next?;
                next.copied()
            }
            Order::Random(random) => {
                let count = living.len() + orphans.len();
                let chosen = (count > 0).then(|| random.below(count as u64) as usize)?;
                living.iter().chain(orphans).nth(chosen).copied()
            }
        }
    }
}

/// Numbers that depend on nothing but a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `limit`, which is small: that some come a little more often does no harm.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Returns one of these.
    pub(crate) fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}
