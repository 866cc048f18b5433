//! The delivery worker: claims deliveries that are due, sends them, records what came of it.
//!
//! Promises that a delivery is sent until its endpoint takes it or the [`schedule`](super::schedule) ends, always with
//! the same id and body; that no transaction is open while a request is under way; that a worker which has lost a
//! delivery to another records nothing for it; and that endpoints which hang delay none that answer (the lanes). A
//! crash between any two lines leads to the delivery being sent again once its lease has run out.
//!
//! One loop claims and records, in batches; as many tasks as there are slots send. Relies on the relay to make
//! deliveries, and leaves to the endpoint to recognise what it already has by `webhook-id`.

mod claim;
mod rate;
mod record;
mod request;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

pub use self::request::sent_headers;
use self::{
    record::Done,
    request::{Held, Request},
};
use super::{
    keyring::Keyring,
    lanes::{Lanes, Slot},
    registration,
};
use crate::{
    app::App,
    db,
    error::{Error, Result},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// How often due deliveries are looked for without a hint.
const BEAT: Duration = Duration::from_millis(500);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long a claim lasts: waiting for a slot, a request, and recording it in a busy moment.
const LEASE: Duration = Duration::from_secs(45);
/// How long a claimed delivery may wait for a slot.
const WAIT: Duration = Duration::from_secs(15);
/// How long requests under way may go on once the node stops.
const GRACE: Duration = Duration::from_secs(5);
/// How long a busy worker waits for more that has ended before it records.
const LINGER: Duration = Duration::from_millis(10);
/// How many outstanding deliveries make a worker busy.
const BUSY: usize = 64;
/// Most that is recorded in one transaction.
const BATCH: usize = 512;

/// Sends until the node stops, then waits a little for what is under way and hands the rest over.
pub async fn run(app: App) {
    app.spawn(registration::keep_up(app.clone()));
    let mut worker = Worker::new(app.clone());
    while app.running() {
        let claimed = match worker.claim().await {
            Ok(claimed) => claimed,
            Err(error) => {
                app.log_and_pause("delivery", &error).await;
                0
            }
        };
        worker.gather(claimed > 0).await;
    }
    worker.finish().await;
}

/// Sends what is due, until nothing is, and says how many requests that were.
pub async fn run_once(app: &App) -> Result<usize> {
    Worker::new(app.clone()).drain().await
}

type Board = Arc<Mutex<Lanes<Request>>>;

fn lock(board: &Board) -> MutexGuard<'_, Lanes<Request>> {
    board.lock().expect("no panic while sharing slots")
}

/// What the tasks that send tell the loop.
enum Report {
    Done(Box<Done>),
    /// These are not sent from here.
    Back(Vec<Held>),
    /// What became of this is not known; its lease runs out.
    Lost(Held),
}

/// One node's sender.
pub struct Worker {
    app: App,
    keyring: Keyring,
    board: Board,
    /// Where the walk along the lanes stands.
    after: String,
    /// Behind which lane the first is that had to stand back from a trial.
    trials_after: Option<String>,
    seats: JoinSet<()>,
    reporter: UnboundedSender<Report>,
    reports: UnboundedReceiver<Report>,
    /// What is claimed and neither recorded nor handed back.
    held: HashSet<Held>,
    /// Targets that have failed since their last success.
    failing: HashSet<String>,
    /// When a lane that had to wait for its rate may send again.
    soonest: Option<Duration>,
}

impl Worker {
    /// A sender with nothing under way.
    pub fn new(app: App) -> Self {
        let (reporter, reports) = unbounded_channel();
        Self {
            keyring: Keyring::new(),
            board: Arc::new(Mutex::new(Lanes::new(app.config.delivery_concurrency))),
            after: String::new(),
            trials_after: None,
            seats: JoinSet::new(),
            reporter,
            reports,
            held: HashSet::new(),
            failing: HashSet::new(),
            soonest: None,
            app,
        }
    }

    /// Sends what is due, until nothing is, and says how many requests that were.
    pub async fn drain(&mut self) -> Result<usize> {
        let mut sent = 0;
        loop {
            if self.claim().await? > 0 {
                continue;
            }
            if self.held.is_empty() {
                return Ok(sent);
            }
            let first = self.next().await;
            sent += self.settle(first).await;
        }
    }

    /// Lets claimed deliveries wait for a slot, and sees to it that they find one.
    fn begin(&mut self, requests: Vec<Request>) {
        let wanted = {
            let mut lanes = lock(&self.board);
            for request in requests {
                let target = request.delivery.target.clone();
                self.held.insert(request.held());
                lanes.enqueue(&target, request);
            }
            lanes.seats_wanted()
        };
        while let Some(ended) = self.seats.try_join_next() {
            if let Err(error) = ended {
                Error::internal(error).log("delivery");
            }
        }
        for _ in 0..wanted {
            let seat = seat(self.app.clone(), self.board.clone(), self.reporter.clone());
            self.seats.spawn(seat);
        }
    }

    /// The next report.
    async fn next(&mut self) -> Report {
        let report = self.reports.recv().await;
        report.expect("the worker itself holds a sender")
    }

    /// Records a report and all that have come by now; says how many requests had been made.
    async fn settle(&mut self, first: Report) -> usize {
        let (mut done, mut back) = (Vec::new(), Vec::new());
        let mut more = Some(first);
        while let Some(report) = more {
            match report {
                Report::Done(one) => done.push(*one),
                Report::Back(held) => back.extend(held),
                Report::Lost(held) => {
                    self.held.remove(&held);
                }
            }
            if done.len() >= BATCH {
                break;
            }
            more = self.reports.try_recv().ok();
        }
        for one in &done {
            self.held.remove(&one.held());
        }
        for one in &back {
            self.held.remove(one);
        }
        let sent = done.len();
        let failed = done.iter().filter(|one| one.failed == Some(true));
        let failed: Vec<String> = failed.map(|one| one.delivery.target.clone()).collect();
        if let Err(error) = record::record(&self.app, done, &mut self.failing).await {
            error.log("delivery record");
        }
        for target in failed {
            lock(&self.board).recorded(&target);
        }
        // After the failures that led to it: whoever takes these finds the circuit as it is.
        if let Err(error) = db::delivery::release(&self.app.db, &back).await {
            error.log("delivery lease");
        }
        sent
    }

    /// Records what has ended by now; waits until there may be something to do, unless something was `claimed`.
    async fn gather(&mut self, claimed: bool) {
        let app = self.app.clone();
        let first = if let Ok(report) = self.reports.try_recv() {
            report
        } else if claimed {
            return;
        } else {
            let beat = self.soonest.unwrap_or(BEAT).min(BEAT);
            tokio::select! {
                Some(report) = self.reports.recv() => report,
                () = app.wakes.delivery.wait(&app, beat) => return,
            }
        };
        if self.held.len() >= BUSY {
            let until = Instant::now() + LINGER;
            while self.reports.len() < BATCH.min(self.held.len()) && Instant::now() < until {
                tokio::time::sleep(LINGER / 5).await;
            }
        }
        self.settle(first).await;
    }

    /// Lets what is under way come to its end for a while, and hands over what does not.
    async fn finish(&mut self) {
        let deadline = Instant::now() + GRACE;
        let waiting = lock(&self.board).clear();
        let waiting = waiting.iter().map(Request::held).collect();
        self.settle(Report::Back(waiting)).await;
        while !self.held.is_empty()
            && let Ok(report) = timeout_at(deadline, self.next()).await
        {
            self.settle(report).await;
        }
        self.seats.abort_all();
        let left: Vec<_> = self.held.drain().collect();
        if let Err(error) = db::delivery::release(&self.app.db, &left).await {
            error.log("delivery lease");
        }
    }
}

/// Fills one slot with whatever is next in line, until nothing is.
async fn seat(app: App, board: Board, reporter: UnboundedSender<Report>) {
    loop {
        let Some(taken) = lock(&board).next() else {
            return;
        };
        let mut place = Place {
            board: &board,
            reporter: &reporter,
            held: taken.what.held(),
            slot: taken.slot,
            ended: false,
        };
        if taken.what.claimed.elapsed() > WAIT {
            place.leave(None, None, Report::Back(vec![place.held]));
            continue;
        }
        let done = taken.what.send(&app).await;
        place.leave(Some(done.took), done.failed, Report::Done(Box::new(done)));
    }
}

/// A slot that is given back also when whoever holds it panics or is aborted.
struct Place<'a> {
    board: &'a Board,
    reporter: &'a UnboundedSender<Report>,
    held: Held,
    slot: Slot,
    ended: bool,
}

impl Place<'_> {
    fn leave(&mut self, took: Option<Duration>, failed: Option<bool>, report: Report) {
        self.ended = true;
        // What follows from a request is reported behind it. Nobody listens to a worker that is gone.
        let mut lanes = lock(self.board);
        let _ = self.reporter.send(report);
        let back = lanes.leave(&self.slot, took, failed);
        if !back.is_empty() {
            let back = back.iter().map(Request::held).collect();
            let _ = self.reporter.send(Report::Back(back));
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.leave(None, None, Report::Lost(self.held));
            lock(self.board).unseat();
        }
    }
}
