//! The ways to die, and a program that dies in all of them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use domain::time::Clock as _;
use gateway::SystemClock;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use store::port::watches::TakeWatches;
use testkit::database::Database;
use testkit::sim::{CallbackUrls, Fault, FaultRule, Provider, Simulator};
use testkit::wait::{LONG, wait_for, wait_until};
use tokio::net::TcpSocket;
use tokio::process::Child;

use super::load::Load;
use crate::app::{CALLBACK_SECRET, refusing_address};
use crate::http::Client;
use crate::program::Site;

/// How long a moment is waited for. What does not come by then is killed where it stands.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a moment that did not come is waited for again.
const MOST_MISSES: usize = 4;

/// When the program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    /// After any number of answers, submissions or receipts.
    Any,
    /// While this provider has a request and has not answered.
    Asking(Provider),
    /// While a receipt is being delivered.
    Reporting,
    /// By its own hand, at a named point of the code.
    Point(&'static str),
}

/// Deaths to come, in an order that the seed decides.
pub(super) struct Plan {
    moments: VecDeque<Moment>,
    chance: Xoshiro256PlusPlus,
}

/// A running program.
pub(super) struct Gateway {
    child: Child,
    log: Box<dyn Fn() -> String + Send + Sync>,
}

/// Where the program lives and dies.
pub(super) struct Arena<'a> {
    site: Option<Site>,
    sim: &'a Simulator,
    database: &'a str,
    address: SocketAddr,
    client: Client,
    deaths: BTreeMap<Moment, usize>,
    /// Keeps the address from others while no gateway listens there.
    _kept: TcpSocket,
}

/// The named points, in a build that has them.
fn points() -> &'static [&'static str] {
    if cfg!(feature = "fault-points") { gateway::fault::FAULT_POINTS } else { &[] }
}

impl Plan {
    /// `kills` by SIGKILL, and as many deaths at each named point as is in proportion.
    pub(super) fn new(kills: usize, seed: u64) -> Self {
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
        let chosen =
            [Moment::Asking(Provider::Twilio), Moment::Asking(Provider::AfricasTalking), Moment::Reporting];
        let mut moments: Vec<Moment> = chosen.repeat((kills / 10).max(1));
        moments.resize(kills.max(moments.len()), Moment::Any);
        for _ in 0..(kills / 16).max(1) {
            moments.extend(points().iter().map(|point| Moment::Point(point)));
        }
        for last in (1..moments.len()).rev() {
            moments.swap(last, chance.random_range(0..=last));
        }
        Self { moments: moments.into(), chance }
    }
}

impl<'a> Arena<'a> {
    /// A place with an address of its own, which the networks are told.
    pub(super) fn new(site: Site, sim: &'a Simulator, database: &'a Database) -> (Self, SocketAddr) {
        let (kept, address) = refusing_address();
        let url = format!("http://{address}");
        let report = format!("{url}/webhooks/africastalking/status/{CALLBACK_SECRET}");
        sim.set_callback_urls(CallbackUrls {
            africastalking_delivery: Some(report),
            ..CallbackUrls::default()
        });
        let site = site.set("TUMA_LISTEN", &address.to_string()).set("TUMA_PUBLIC_URL", &url);
        let database = database.url();
        let arena = Self {
            site: Some(site),
            sim,
            database,
            address,
            client: Client::new(),
            deaths: BTreeMap::new(),
            _kept: kept,
        };
        (arena, address)
    }

    /// Where the program runs.
    pub(super) fn site(&self) -> &Site {
        self.site.as_ref().unwrap()
    }

    /// How often it died, by moment.
    pub(super) fn deaths(&self) -> &BTreeMap<Moment, usize> {
        &self.deaths
    }

    /// Dies as planned while messages come in, then lives on and takes the rest. `faults` strike in the second
    /// third of it.
    pub(super) async fn run(&mut self, mut plan: Plan, load: &Load, faults: &[FaultRule]) -> Gateway {
        let lives = plan.moments.len();
        // Some moments do not come at once: there must be requests left for those lives, too.
        let quota = (load.requests() / (lives + lives / 2)).max(1);
        let mut misses: BTreeMap<Moment, usize> = BTreeMap::new();
        let mut run = 0;
        while let Some(moment) = plan.moments.pop_front() {
            if run == lives / 3 {
                for rule in faults {
                    self.sim.inject(*rule).unwrap();
                }
            } else if run == 2 * lives / 3 {
                self.sim.clear_faults();
            }
            let died = self.live(run, moment, quota, load, &mut plan.chance).await;
            *self.deaths.entry(died).or_default() += 1;
            let times = misses.entry(moment).or_default();
            if died != moment && *times < MOST_MISSES {
                *times += 1;
                plan.moments.push_back(moment);
            }
            run += 1;
        }
        self.sim.clear_faults();
        self.let_leases_end().await;
        let mut gateway = self.start("");
        self.comes_up(&mut gateway).await.unwrap_or_else(|status| gateway.has_failed(status));
        load.open(run, load.requests());
        gateway
    }

    /// Whoever was looked after when the program died is looked after again when that lease has ended, after two
    /// minutes. Here they pass at once.
    async fn let_leases_end(&self) {
        let options =
            store::Options { migrate: false, exclusive: true, keys: Some(testkit::database::data_key()) };
        let store = store::open(self.database, options).await.unwrap();
        let now = SystemClock::new().now();
        let take = TakeWatches { now: now.plus(Duration::from_mins(3)), lease_until: now, limit: u32::MAX };
        store.take_watches(take).await.unwrap();
        store.close().await;
    }

    /// One life. Answers how it ended, which is not as planned where the moment did not come.
    async fn live(
        &mut self,
        run: usize,
        moment: Moment,
        quota: usize,
        load: &Load,
        chance: &mut Xoshiro256PlusPlus,
    ) -> Moment {
        if moment.is_of_doubt() {
            self.let_leases_end().await;
        }
        let mut gateway = self.start(&armed(moment, quota, chance));
        // It may meet its point before it listens: what was in doubt is looked after at the start.
        let mut status = self.comes_up(&mut gateway).await.err();
        let mut came = true;
        if status.is_none() {
            if moment.is_of_doubt() {
                self.sim.inject(FaultRule::next(3, Fault::AcceptThenReset).on(Provider::Twilio)).unwrap();
            }
            load.open(run, quota);
            came = self.wait_for(moment, quota, load, &mut gateway, chance).await;
            // No process of the system between the moment and the signal. It may be dead already.
            let _ = gateway.child.start_kill();
            load.close();
            status = Some(gateway.child.wait().await.unwrap());
        }
        let died = status.unwrap();
        if died.code().is_some() {
            gateway.has_failed(died);
        }
        if came { moment } else { Moment::Any }
    }

    /// Waits for the moment; `false` if it does not come.
    async fn wait_for(
        &self,
        moment: Moment,
        quota: usize,
        load: &Load,
        gateway: &mut Gateway,
        chance: &mut Xoshiro256PlusPlus,
    ) -> bool {
        let sim = self.sim;
        let came = match moment {
            Moment::Any => {
                let what = chance.random_range(0..3);
                let count = || match what {
                    0 => load.answered() as u64,
                    1 => sim.ledger().count(),
                    _ => sim.stats().callbacks.sent,
                };
                let goal = count() + chance.random_range(1..=quota as u64);
                let _ = wait_until(|| count() >= goal, PATIENCE / 4).await;
                return true;
            }
            Moment::Asking(provider) => {
                let slow = FaultRule::next(1, Fault::Slow { ms: 10_000 }).on(provider);
                sim.inject(slow).unwrap();
                // The rule is used up when the head of a request has come.
                let begun = || sim.faults().iter().all(|rule| !matches!(rule.fault, Fault::Slow { .. }));
                wait_until(begun, PATIENCE).await
            }
            Moment::Reporting => {
                let goal = sim.stats().callbacks.sent + chance.random_range(1..=quota as u64 / 2 + 1);
                let delivering = || {
                    let callbacks = sim.stats().callbacks;
                    callbacks.sent >= goal && callbacks.under_way > 0
                };
                wait_until(delivering, PATIENCE).await
            }
            Moment::Point(_) => wait_until(|| gateway.child.try_wait().unwrap().is_some(), PATIENCE).await,
        };
        came.is_ok()
    }

    fn start(&mut self, failpoints: &str) -> Gateway {
        let site = self.site.take().map(|site| site.set("FAILPOINTS", failpoints));
        let (child, log) = site.as_ref().unwrap().start(&["serve"]);
        self.site = site;
        Gateway { child, log: Box::new(log) }
    }

    /// Waits until it answers; fails if it ends instead.
    async fn comes_up(&self, gateway: &mut Gateway) -> Result<(), ExitStatus> {
        let url = format!("http://{}/health/ready", self.address);
        let answers = async || {
            if let Some(status) = gateway.child.try_wait().unwrap() {
                return Some(Err(status));
            }
            let answer = self.client.request(Method::GET, &url).try_send().await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(Ok(()))
        };
        let up = wait_for(answers, LONG).await;
        up.unwrap_or_else(|problem| panic!("{problem}: {}", (gateway.log)()))
    }
}

impl Moment {
    /// Comes only if something is in doubt.
    fn is_of_doubt(self) -> bool {
        matches!(self, Self::Point(point) if point.ends_with("settle"))
    }
}

/// The environment's word for dying at a point, after it was passed a few times.
fn armed(moment: Moment, quota: usize, chance: &mut Xoshiro256PlusPlus) -> String {
    let Moment::Point(point) = moment else { return String::new() };
    // Few looks find something in doubt.
    let passed = if moment.is_of_doubt() { 2 } else { (quota / 2).max(1) };
    match chance.random_range(0..passed) {
        0 => format!("{point}=return"),
        passed => format!("{point}={passed}*off->return"),
    }
}

impl Gateway {
    pub(super) fn log(&self) -> String {
        (self.log)()
    }

    /// It ended, and nobody killed it.
    fn has_failed(&self, status: ExitStatus) -> ! {
        panic!("tuma serve ended with {status}: {}", self.log())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("SIGKILL, any moment"),
            Self::Asking(provider) => write!(f, "SIGKILL, {provider} has a request and no answer has come"),
            Self::Reporting => f.write_str("SIGKILL, a receipt is being delivered"),
            Self::Point(point) => write!(f, "abort at {point}"),
        }
    }
}
