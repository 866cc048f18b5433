//! Turns: telling when everything that can be asked for now has been asked for.
//!
//! The executor resolves the fields of an answer in one tree of futures. A batch that must not close before all siblings
//! have joined waits for the end of the [`Turn`]: the moment at which the whole tree waits and nothing in it has woken
//! itself. That is known here alone, where the root of the tree is polled, and depends on no runtime.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{Stream, stream};

/// How often a tree that wakes itself is polled before others get their chance.
const ROUNDS: usize = 32;

/// The present turn of a tree, and who waits for its end.
#[derive(Clone, Default)]
pub struct Turn(Arc<Mutex<Present>>);

#[derive(Default)]
struct Present {
    number: u64,
    waiting: Vec<Waker>,
}

impl Turn {
    /// Returns when the turn has ended in which this was first polled.
    pub fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        let turn = self.clone();
        let mut begun = None;
        poll_fn(move |context| {
            let mut present = turn.0.lock().expect("no panic while waiting");
            if *begun.get_or_insert(present.number) < present.number {
                return Poll::Ready(());
            }
            present.waiting.push(context.waker().clone());
            Poll::Pending
        })
    }

    /// Ends the turn; `false` when nobody waits for that.
    fn finish(&self) -> bool {
        let waiting = {
            let mut present = self.0.lock().expect("no panic while waiting");
            present.number += 1;
            std::mem::take(&mut present.waiting)
        };
        let any = !waiting.is_empty();
        waiting.into_iter().for_each(Waker::wake);
        any
    }

    /// Runs a tree of futures, ending turns as they are due.
    pub async fn run<F: Future>(self, tree: F) -> F::Output {
        let mut tree = std::pin::pin!(tree);
        let root = Arc::new(Root::default());
        poll_fn(|context| self.poll(&root, context, |context| tree.as_mut().poll(context))).await
    }

    /// The same for a stream of answers.
    pub fn stream<S>(self, mut trees: S) -> impl Stream<Item = S::Item>
    where
        S: Stream + Unpin,
    {
        let root = Arc::new(Root::default());
        stream::poll_fn(move |context| {
            self.poll(&root, context, |context| {
                Pin::new(&mut trees).poll_next(context)
            })
        })
    }

    fn poll<T>(
        &self,
        root: &Arc<Root>,
        outer: &mut Context<'_>,
        mut tree: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        root.follow(outer.waker());
        let waker = Waker::from(root.clone());
        let mut context = Context::from_waker(&waker);
        for _ in 0..ROUNDS {
            root.state.store(POLLED, Ordering::Release);
            if let Poll::Ready(done) = tree(&mut context) {
                return Poll::Ready(done);
            }
            if root.state.load(Ordering::Acquire) == WOKEN || self.finish() {
                continue;
            }
            let rests =
                root.state
                    .compare_exchange(POLLED, RESTS, Ordering::AcqRel, Ordering::Acquire);
            if rests.is_ok() {
                return Poll::Pending;
            }
        }
        outer.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The tree waits; whoever wakes it wakes the task.
const RESTS: u8 = 0;
/// The tree is being polled.
const POLLED: u8 = 1;
/// Something in the tree has woken it while it was being polled.
const WOKEN: u8 = 2;

/// What wakes the tree.
#[derive(Default)]
struct Root {
    state: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Root {
    fn follow(&self, waker: &Waker) {
        let mut task = self.task.lock().expect("no panic while following");
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }
}

impl Wake for Root {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == RESTS
            && let Some(task) = &*self.task.lock().expect("no panic while following")
        {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{
        FutureExt as _, StreamExt as _, future::join_all, stream::FuturesUnordered,
    };

    use super::*;

    #[tokio::test]
    async fn a_turn_ends_once_everybody_waits_for_it() {
        let turn = Turn::default();
        let log = Mutex::new(Vec::new());
        // A tree that is wide and deep enough for its parts to yield before all have been polled.
        let tree = async {
            let branches = (0..50).map(|branch| {
                let (turn, log) = (&turn, &log);
                let leaves = (0..3).map(move |leaf| async move {
                    log.lock().expect("kept").push(("asked", branch * 3 + leaf));
                    // Others wake the tree in the midst of a turn.
                    let end = turn.end();
                    let mut end = std::pin::pin!(end);
                    poll_fn(|context| {
                        context.waker().wake_by_ref();
                        end.as_mut().poll(context)
                    })
                    .now_or_never();
                    end.await;
                    log.lock().expect("kept").push(("told", branch * 3 + leaf));
                });
                leaves
                    .collect::<FuturesUnordered<_>>()
                    .collect::<()>()
                    .boxed()
            });
            let all: FuturesUnordered<_> = branches.collect();
            join_all([all.collect::<()>()]).await;
        };
        turn.clone().run(tree).await;
        let log = log.into_inner().expect("kept");
        let first_told = log.iter().position(|(what, _)| *what == "told");
        assert_eq!((first_told, log.len()), (Some(150), 300));
    }

    #[tokio::test]
    async fn a_tree_that_wakes_itself_for_ever_lets_others_run() {
        let (turn, other) = (Turn::default(), tokio::spawn(async { 7 }));
        let restless = turn.run(poll_fn(|context: &mut Context<'_>| -> Poll<()> {
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        tokio::select! {
            () = restless => panic!("it never ends"),
            seven = other => assert_eq!(seven.expect("no panic"), 7),
        }
    }
}
