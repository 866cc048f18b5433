//! Relations, loaded for all parents of a level at once.
//!
//! A [`Batch`] collects the keys that sibling resolvers ask for with equal arguments, until the end of the [`Turn`], and
//! runs one statement for all. Nothing is kept afterwards, so what is read is fresh, also for every
//! event of a subscription. [`Loaders`] belong to one request: no batch mixes principals.

mod paper;
mod whole;

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    hash::Hash,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_graphql::Context;
use entity::{
    account, attempt, bill, circuit, consent, delivery, event, identity, item,
    kind::{DeliveryStatus, EntityKind, Product, RegulatedCall},
    statement, webhook,
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use uuid::Uuid;

pub use self::paper::{count_papers, paper, papers_of};
pub use self::whole::{
    count_investment_transactions, count_investments, count_loans, investment,
    investment_transactions_of, investments_of, loan, loans_of,
};
use self::{paper::Papers, whole::Whole};
use super::{
    ContextExt as _,
    turn::Turn,
    types::node::{self, Node},
};
use crate::{
    audit::Shown,
    db::{
        page::{Page, Slice},
        replacement::Replaced,
    },
    error::{Error, Result},
    event::log,
    item::{
        self as items,
        freshness::{self, Freshness},
        history::{self, Run},
    },
    product::{
        list::{self, AccountFilter, Listed, Movement, Parent, TransactionFilter},
        summary::{self, Row, Summing},
    },
    webhook as webhooks,
};

/// Most categories that one answer leads on to.
const MOST_CATEGORIES: usize = 10_000;

/// What a batch has found, and how many are still to fetch each value.
struct Found<K, V> {
    values: HashMap<K, V>,
    waiting: HashMap<K, usize>,
}

type Outcome<K, V> = Shared<BoxFuture<'static, Result<Arc<Mutex<Found<K, V>>>, Arc<Error>>>>;

struct Open<K, V> {
    keys: Vec<K>,
    outcome: Outcome<K, V>,
}

/// Collects keys of values that are loaded with equal arguments.
struct Batch<A, K, V> {
    open: Arc<Mutex<HashMap<A, Open<K, V>>>>,
    turn: Turn,
}

impl<A, K, V> Batch<A, K, V>
where
    A: Clone + Eq + Hash + Send + 'static,
    K: Copy + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    fn new(turn: &Turn) -> Self {
        Self {
            open: Arc::default(),
            turn: turn.clone(),
        }
    }

    /// The value of a key; `load` is called for the first of those who wait together.
    async fn load<F, L>(&self, arguments: A, key: K, load: L) -> Result<Option<V>>
    where
        F: Future<Output = Result<HashMap<K, V>>> + Send,
        L: FnOnce(A, Vec<K>) -> F + Send + 'static,
    {
        let outcome = self.join(arguments, key, load);
        let found = outcome.await.map_err(|error| again(&error))?;
        let mut found = found.lock().expect("no panic while taking");
        let Found { values, waiting } = &mut *found;
        match waiting.get_mut(&key) {
            Some(others) if *others > 1 => {
                *others -= 1;
                Ok(values.get(&key).cloned())
            }
            _ => Ok(values.remove(&key)),
        }
    }

    fn join<F, L>(&self, arguments: A, key: K, load: L) -> Outcome<K, V>
    where
        F: Future<Output = Result<HashMap<K, V>>> + Send,
        L: FnOnce(A, Vec<K>) -> F + Send + 'static,
    {
        let mut open = self.open.lock().expect("no panic while joining");
        if let Some(batch) = open.get_mut(&arguments) {
            batch.keys.push(key);
            return batch.outcome.clone();
        }
        let (batches, turn) = (Arc::downgrade(&self.open), self.turn.end());
        let of = arguments.clone();
        let outcome = async move {
            turn.await;
            let keys = batches
                .upgrade()
                .and_then(|batches| {
                    let mut open = batches.lock().expect("no panic while joining");
                    open.remove(&of)
                })
                .map_or_else(Vec::new, |batch| batch.keys);
            let mut waiting: HashMap<K, usize> = HashMap::with_capacity(keys.len());
            for key in keys {
                *waiting.entry(key).or_default() += 1;
            }
            let values = load(of, waiting.keys().copied().collect()).await?;
            Ok(Arc::new(Mutex::new(Found { values, waiting })))
        };
        let outcome = outcome.boxed().shared();
        open.insert(
            arguments,
            Open {
                keys: vec![key],
                outcome: outcome.clone(),
            },
        );
        outcome
    }
}

/// One failure, told to each who waited.
fn again(error: &Arc<Error>) -> Error {
    match &**error {
        Error::InvalidInput { field, reason } => Error::invalid(field, reason.clone()),
        _ => Error::internal(Told(error.clone())),
    }
}

#[derive(Debug)]
struct Told(Arc<Error>);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Told {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0)
    }
}

/// Of what, how they stand, which part.
type Deliveries = (webhooks::Parent, Option<DeliveryStatus>, Slice);

/// The batches of one request.
pub struct Loaders {
    nodes: Batch<EntityKind, Uuid, Node>,
    items: Batch<(), Uuid, item::Model>,
    accounts: Batch<(), Uuid, account::Model>,
    identities: Batch<(), Uuid, identity::Model>,
    accounts_of: Batch<(AccountFilter, Slice), Uuid, Page<account::Model>>,
    consents_of: Batch<Slice, Uuid, Page<consent::Model>>,
    executions_of: Batch<Slice, Uuid, Page<Run>>,
    transactions_of: Batch<(Listed, Slice), Uuid, Page<Movement>>,
    events: Batch<(), Uuid, Arc<event::Model>>,
    webhooks: Batch<(), Uuid, webhook::Model>,
    deliveries_of: Batch<Deliveries, Uuid, Page<delivery::Model>>,
    told: Batch<(), Uuid, Arc<event::Model>>,
    attempts_of: Batch<(), Uuid, Vec<attempt::Model>>,
    circuits: Batch<(), Uuid, circuit::Model>,
    quotas: Batch<(), Uuid, HashMap<RegulatedCall, i32>>,
    account_counts: Batch<AccountFilter, Uuid, i64>,
    transaction_counts: Batch<(Parent, TransactionFilter), Uuid, i64>,
    bills: Papers<bill::Model>,
    statements: Papers<statement::Model>,
    whole: Whole,
    summaries: Batch<(Parent, Summing), Uuid, Vec<Row>>,
    categories: AtomicUsize,
    replaced: Batch<(), Uuid, Replaced>,
    shown: Arc<Shown>,
}

impl Loaders {
    /// Empty ones, for what runs in these turns; what they find is counted as shown.
    pub fn new(turn: &Turn, shown: Arc<Shown>) -> Self {
        Self {
            nodes: Batch::new(turn),
            items: Batch::new(turn),
            accounts: Batch::new(turn),
            identities: Batch::new(turn),
            accounts_of: Batch::new(turn),
            consents_of: Batch::new(turn),
            executions_of: Batch::new(turn),
            transactions_of: Batch::new(turn),
            events: Batch::new(turn),
            webhooks: Batch::new(turn),
            deliveries_of: Batch::new(turn),
            told: Batch::new(turn),
            attempts_of: Batch::new(turn),
            circuits: Batch::new(turn),
            quotas: Batch::new(turn),
            account_counts: Batch::new(turn),
            transaction_counts: Batch::new(turn),
            bills: Papers::new(turn),
            statements: Papers::new(turn),
            whole: Whole::new(turn),
            summaries: Batch::new(turn),
            categories: AtomicUsize::new(0),
            replaced: Batch::new(turn),
            shown,
        }
    }
}

fn loaders<'a>(ctx: &Context<'a>) -> &'a Loaders {
    ctx.data_unchecked::<Loaders>()
}

/// Counts rows of personal data that the answer shows.
pub fn show(ctx: &Context<'_>, kind: EntityKind, rows: usize) {
    if let Ok(principal) = ctx.principal() {
        loaders(ctx).shown.add(principal, kind, rows);
    }
}

/// Counts categories that the answer leads on to: their tree has ways up and down, and the shortest of documents could
/// walk them for ever.
pub fn count_categories(ctx: &Context<'_>, rows: usize) -> Result<()> {
    let before = loaders(ctx).categories.fetch_add(rows, Ordering::Relaxed);
    if before + rows > MOST_CATEGORIES {
        return Err(Error::invalid(
            "children",
            format!(
                "this asks for more than {MOST_CATEGORIES} categories; read the tree with categories()"
            ),
        ));
    }
    Ok(())
}

/// An entity of a kind; API keys only.
pub async fn node(ctx: &Context<'_>, kind: EntityKind, id: Uuid) -> Result<Option<Node>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |kind: EntityKind, ids: Vec<Uuid>| async move {
        node::of_table(&app, &principal, kind.table(), &ids).await
    };
    let node = loaders(ctx).nodes.load(kind, id, load).await?;
    show(ctx, kind, usize::from(node.is_some()));
    Ok(node)
}

/// An Item of this principal.
pub async fn item(ctx: &Context<'_>, id: Uuid) -> Result<Option<item::Model>> {
    let item = unshown(ctx, id).await?;
    show(ctx, EntityKind::Item, usize::from(item.is_some()));
    Ok(item)
}

async fn unshown(ctx: &Context<'_>, id: Uuid) -> Result<Option<item::Model>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |(), ids: Vec<Uuid>| async move { items::list::by_id(&app, &principal, &ids).await };
    loaders(ctx).items.load((), id, load).await
}

/// How fresh a product of an Item of this principal is.
pub async fn freshness(ctx: &Context<'_>, item: Uuid, product: Product) -> Result<Freshness> {
    let item = unshown(ctx, item).await?;
    let item = item.ok_or(Error::NotFound { what: "item" })?;
    Ok(freshness::of(ctx.app(), &item, product))
}

/// An account of this principal.
pub async fn account(ctx: &Context<'_>, id: Uuid) -> Result<Option<account::Model>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load =
        |(), ids: Vec<Uuid>| async move { list::accounts_by_id(&app, &principal, &ids).await };
    let account = loaders(ctx).accounts.load((), id, load).await?;
    show(ctx, EntityKind::Account, usize::from(account.is_some()));
    Ok(account)
}

/// The holder of an Item.
pub async fn identity(ctx: &Context<'_>, item: Uuid) -> Result<Option<identity::Model>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(), ids: Vec<Uuid>| async move { list::identities(&app, owner, &ids).await };
    let identity = loaders(ctx).identities.load((), item, load).await?;
    show(ctx, EntityKind::Identity, usize::from(identity.is_some()));
    Ok(identity)
}

/// Accounts of an Item.
pub async fn accounts_of(
    ctx: &Context<'_>,
    item: Uuid,
    filter: AccountFilter,
    slice: Slice,
) -> Result<Page<account::Model>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(filter, slice), ids: Vec<Uuid>| async move {
        list::accounts(&app, owner, &ids, filter, slice).await
    };
    let page = loaders(ctx).accounts_of.load((filter, slice), item, load);
    let page = page.await?.unwrap_or_default();
    show(ctx, EntityKind::Account, page.rows.len());
    Ok(page)
}

/// How many accounts an Item has.
pub async fn count_accounts(ctx: &Context<'_>, item: Uuid, filter: AccountFilter) -> Result<i64> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |filter, ids: Vec<Uuid>| async move {
        list::count_accounts(&app, owner, &ids, filter).await
    };
    let count = loaders(ctx).account_counts.load(filter, item, load);
    Ok(count.await?.unwrap_or(0))
}

/// Consents of an Item.
pub async fn consents_of(
    ctx: &Context<'_>,
    item: Uuid,
    slice: Slice,
) -> Result<Page<consent::Model>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load =
        move |slice, ids: Vec<Uuid>| async move { list::consents(&app, owner, &ids, slice).await };
    let page = loaders(ctx).consents_of.load(slice, item, load);
    let page = page.await?.unwrap_or_default();
    show(ctx, EntityKind::Consent, page.rows.len());
    Ok(page)
}

/// Runs of an Item.
pub async fn executions_of(ctx: &Context<'_>, item: Uuid, slice: Slice) -> Result<Page<Run>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load =
        move |slice, ids: Vec<Uuid>| async move { history::runs(&app, owner, &ids, slice).await };
    let page = loaders(ctx).executions_of.load(slice, item, load);
    Ok(page.await?.unwrap_or_default())
}

/// What the person of an Item has used of this month's regulated calls.
pub async fn quotas(ctx: &Context<'_>, item: Uuid) -> Result<HashMap<RegulatedCall, i32>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |(), ids: Vec<Uuid>| async move { items::quota::used(&app, &principal, &ids).await };
    let used = loaders(ctx).quotas.load((), item, load);
    Ok(used.await?.unwrap_or_default())
}

/// Transactions of an Item or account.
pub async fn transactions_of(
    ctx: &Context<'_>,
    listed: Listed,
    id: Uuid,
    slice: Slice,
) -> Result<Page<Movement>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(listed, slice): (Listed, Slice), ids: Vec<Uuid>| async move {
        list::transactions(&app, owner, &listed, &ids, slice).await
    };
    let page = loaders(ctx).transactions_of.load((listed, slice), id, load);
    let page = page.await?.unwrap_or_default();
    show(ctx, EntityKind::Transaction, page.rows.len());
    Ok(page)
}

/// How many transactions an Item or account has.
pub async fn count_transactions(
    ctx: &Context<'_>,
    parent: Parent,
    id: Uuid,
    filter: TransactionFilter,
) -> Result<i64> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(parent, filter): (_, TransactionFilter), ids: Vec<Uuid>| async move {
        list::count_transactions(&app, owner, parent, &ids, &filter).await
    };
    let count = loaders(ctx)
        .transaction_counts
        .load((parent, filter), id, load);
    Ok(count.await?.unwrap_or(0))
}

/// What the transactions of an Item or account come to.
pub async fn transaction_summary(
    ctx: &Context<'_>,
    parent: Parent,
    id: Uuid,
    summing: Summing,
) -> Result<Vec<Row>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(parent, summing): (_, Summing), ids: Vec<Uuid>| async move {
        summary::of_parents(&app, owner, parent, &ids, &summing).await
    };
    let rows = loaders(ctx).summaries.load((parent, summing), id, load);
    Ok(rows.await?.unwrap_or_default())
}

/// What a transaction has replaced, if it has.
pub async fn replaced(ctx: &Context<'_>, transaction: Uuid) -> Result<Option<Replaced>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(), ids: Vec<Uuid>| async move { list::replaced_by(&app, owner, &ids).await };
    loaders(ctx).replaced.load((), transaction, load).await
}

/// A published event of this application.
pub async fn event(ctx: &Context<'_>, id: Uuid) -> Result<Option<Arc<event::Model>>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(), ids: Vec<Uuid>| async move {
        let rows = log::by_id(&app, owner, &ids).await?;
        Ok(rows
            .into_iter()
            .map(|(id, row)| (id, Arc::new(row)))
            .collect())
    };
    loaders(ctx).events.load((), id, load).await
}

/// A webhook of this application.
pub async fn webhook(ctx: &Context<'_>, id: Uuid) -> Result<Option<webhook::Model>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |(), ids: Vec<Uuid>| async move { webhooks::by_id(&app, &principal, &ids).await };
    loaders(ctx).webhooks.load((), id, load).await
}

/// The circuit of a webhook that has failed since its last success.
pub async fn circuit(ctx: &Context<'_>, webhook: Uuid) -> Result<Option<circuit::Model>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |(), ids: Vec<Uuid>| async move { webhooks::circuits(&app, &principal, &ids).await };
    loaders(ctx).circuits.load((), webhook, load).await
}

/// What a delivery tells of, be it a test event.
pub async fn told(ctx: &Context<'_>, event: Uuid) -> Result<Option<Arc<event::Model>>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |(), ids: Vec<Uuid>| async move {
        let rows = webhooks::told(&app, &principal, &ids).await?;
        let rows = rows.into_iter();
        Ok(rows.map(|(id, row)| (id, Arc::new(row))).collect())
    };
    loaders(ctx).told.load((), event, load).await
}

/// Deliveries of a webhook or an Item.
pub async fn deliveries_of(
    ctx: &Context<'_>,
    parent: webhooks::Parent,
    id: Uuid,
    status: Option<DeliveryStatus>,
    slice: Slice,
) -> Result<Page<delivery::Model>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |(parent, status, slice): Deliveries, ids: Vec<Uuid>| async move {
        webhooks::deliveries(&app, &principal, parent, &ids, status, slice).await
    };
    let page = loaders(ctx)
        .deliveries_of
        .load((parent, status, slice), id, load);
    Ok(page.await?.unwrap_or_default())
}

/// The latest attempts of a delivery, oldest first.
pub async fn attempts_of(ctx: &Context<'_>, delivery: Uuid) -> Result<Vec<attempt::Model>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |(), ids: Vec<Uuid>| async move { webhooks::attempts(&app, &principal, &ids).await };
    let attempts = loaders(ctx).attempts_of.load((), delivery, load);
    Ok(attempts.await?.unwrap_or_default())
}
