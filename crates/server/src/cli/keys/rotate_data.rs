//! `tuma keys rotate-data`: a new data key, and all that is old under it.

use std::time::Duration;

use domain::audit::{Act, Actor};
use domain::ids::NodeId;
use domain::time::Clock as _;
use gateway::SystemClock;
use gateway::sweep::DATA_KEYS_TURN;
use indicatif::{ProgressBar, ProgressStyle};
use store::Store;
use store::port::events::Lease;
use store::port::sealing::{Reseal, SealedRow};

use crate::cli::say;

/// Rows that are sealed together: others wait for a commit of them.
const TOGETHER: u32 = 500;

/// How long all nodes need to hear of a key.
const HEARD: Duration = DATA_KEYS_TURN.saturating_mul(3);

/// One at a time: of two, each would delete the key under which the other one seals.
const LEASE: &str = "rotate-data";

/// How long one that was killed keeps others waiting. It is renewed with each part.
const LEASE_FOR: Duration = Duration::from_mins(2);

pub(super) async fn run(store: &dyn Store) -> anyhow::Result<()> {
    let clock = SystemClock::new();
    let rotation = Rotation { store, clock: &clock, node: gateway::node_id(clock.now()) };
    rotation.hold().await?;
    let rotated = rotation.rotate().await;
    store.release_lease(LEASE, rotation.node).await?;
    rotated
}

struct Rotation<'a> {
    store: &'a dyn Store,
    clock: &'a SystemClock,
    node: NodeId,
}

impl Rotation<'_> {
    async fn rotate(&self) -> anyhow::Result<()> {
        let (store, clock) = (self.store, self.clock);
        let act = || Act { by: Actor::Operator, at: clock.now() };
        let id = store.add_data_key(act()).await?;
        say(format_args!("data key {id} is made; waiting {} s until every node has it", HEARD.as_secs()));
        clock.sleep_until(clock.now().plus(HEARD)).await;
        self.hold().await?;
        // From this commit on nobody can seal under another one: a node that has not heard of it is refused by the store.
        store.use_data_key(id, act()).await?;
        say(format_args!("what is new is sealed under it"));
        let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template(
            "{spinner} {pos} rows looked at, {msg} sealed anew, {elapsed}",
        )?);
        let resealed = self.reseal(&bar).await?;
        bar.finish();
        let forgotten = store.forget_data_keys(id, act()).await?;
        say(format_args!(
            "{} rows looked at, {resealed} sealed anew; {forgotten} older keys are gone",
            bar.position()
        ));
        Ok(())
    }

    /// Seals all anew, and again until there was nothing to do: what is left under an older key can't be read once that is
    /// gone. Answers how many rows had another key.
    async fn reseal(&self, bar: &ProgressBar) -> anyhow::Result<u64> {
        let mut resealed = 0;
        loop {
            let (mut behind, before) = (Some(SealedRow::FIRST), resealed);
            while let Some(row) = behind {
                self.hold().await?;
                let part = self.store.reseal(Reseal { behind: row, limit: TOGETHER }).await?;
                resealed += part.resealed;
                bar.inc(part.rows);
                bar.set_message(resealed.to_string());
                behind = part.behind;
            }
            if resealed == before {
                return Ok(resealed);
            }
        }
    }

    /// Takes the lease, or renews it.
    async fn hold(&self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let lease = Lease { name: LEASE, node: self.node, until: now.plus(LEASE_FOR), ended_before: now };
        anyhow::ensure!(
            self.store.take_lease(lease).await?,
            "another rotate-data is under way, or was stopped less than {} s ago",
            LEASE_FOR.as_secs()
        );
        Ok(())
    }
}
