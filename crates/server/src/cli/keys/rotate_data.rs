//! `tuma keys rotate-data`: a new data key, and all that is old under it.

use std::time::Duration;

use domain::audit::{Act, Actor};
use domain::time::Clock as _;
use gateway::SystemClock;
use gateway::sweep::DATA_KEYS_TURN;
use indicatif::{ProgressBar, ProgressStyle};
use store::Store;
use store::port::sealing::{Reseal, SealedRow};

use crate::cli::say;

/// Rows that are sealed together: others wait for a commit of them.
const TOGETHER: u32 = 500;

/// How long all nodes need to hear of a key, or that it is in use.
const HEARD: Duration = DATA_KEYS_TURN.saturating_mul(3);

pub(super) async fn run(store: &dyn Store) -> anyhow::Result<()> {
    let clock = SystemClock::new();
    let wait = || clock.sleep_until(clock.now().plus(HEARD));
    let act = || Act { by: Actor::Operator, at: clock.now() };
    let id = store.add_data_key(act()).await?;
    say(format_args!("data key {id} is made; waiting {} s until every node has it", HEARD.as_secs()));
    wait().await;
    store.use_data_key(id, act()).await?;
    say(format_args!(
        "what is new is sealed under it; waiting {} s until every node does so",
        HEARD.as_secs()
    ));
    wait().await;
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template(
        "{spinner} {pos} rows looked at, {msg} sealed anew, {elapsed}",
    )?);
    let mut resealed = 0;
    // Again until there was nothing to do: a node that heard of the key too late may have written behind us, and what is
    // left under an older key can't be read once that is gone.
    loop {
        let (mut behind, before) = (Some(SealedRow::FIRST), resealed);
        while let Some(row) = behind {
            let part = store.reseal(Reseal { behind: row, limit: TOGETHER }).await?;
            resealed += part.resealed;
            bar.inc(part.rows);
            bar.set_message(resealed.to_string());
            behind = part.behind;
        }
        if resealed == before {
            break;
        }
    }
    bar.finish();
    let forgotten = store.forget_data_keys(id, act()).await?;
    say(format_args!(
        "{} rows looked at, {resealed} sealed anew; {forgotten} older keys are gone",
        bar.position()
    ));
    Ok(())
}
