//! Transactions: staged in batches, merged in sets, one account at a time.
//!
//! A row is matched by the institution's id, else by a fingerprint of its content and its ordinal among equal rows of
//! the day. Rows of a file are matched by id and content together, since files reuse ids. What is stored and equal is
//! neither written nor told.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use chrono::NaiveDate;
use entity::{
    account, execution, item,
    kind::{AccountType, EntityKind, EventType, TransactionStatus, TriggeredBy},
    staged_transaction,
};
use sea_orm::ConnectionTrait;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    Counts, account as accounts, particulars, replacement,
    text::{fold, likeness},
};
use crate::{
    app::App,
    category::{
        classifier::{self, Holder},
        rule,
    },
    clock::Timestamp,
    connector::{Coverage, PaymentOf, SourceKind, TransactionRecord, Warning},
    db::{
        self,
        merge::{self, Fresh, Gone, Inserted, Owner, Side, Updated},
        replacement::{self as kept, Replaced},
    },
    error::Result,
    event::{
        self, Draft,
        body::{Replacement, RowsChanged, RowsDeleted, RowsInserted},
        change::Told,
    },
    money::Amount,
};

/// Most ids that one event carries.
const EVENT_IDS: usize = 500;
/// Deleting more rows than this, and a larger share than [`SUSPECT_SHARE`], is not believed at once.
const SUSPECT_ROWS: usize = 20;
/// Hundredths of an account's window.
const SUSPECT_SHARE: usize = 30;
/// How far apart a PENDING row and the POSTED one it becomes may be.
const SETTLES_WITHIN_DAYS: i64 = 10;
/// How alike their texts must be.
const SETTLES_ALIKE: f64 = 0.5;
/// Where an event about new rows tells of their account, if it does; they come behind.
const ACCOUNT_ORDINAL: i32 = 0;

/// Turns records into rows to stage, counting equal rows of a day across the batches of one stream.
pub struct Stager {
    execution: Uuid,
    source: SourceKind,
    holders: HashMap<String, Holder>,
    today: Option<NaiveDate>,
    payments: bool,
    first_keys: HashMap<String, String>,
    ordinals: HashMap<[u8; 16], u32>,
}

impl Stager {
    /// For one stream of one run. Payment data is kept only if it is to be collected.
    pub fn new(execution: Uuid, source: SourceKind, payments: bool) -> Self {
        Self {
            execution,
            source,
            holders: HashMap::new(),
            today: None,
            payments,
            first_keys: HashMap::new(),
            ordinals: HashMap::new(),
        }
    }

    /// Tells what is known of accounts, by their keys.
    #[must_use]
    pub fn holding(mut self, holders: HashMap<String, Holder>) -> Self {
        self.holders = holders;
        self
    }

    /// Tells the day at the institution: what is on a card after it has not happened yet.
    #[must_use]
    pub fn on(self, today: NaiveDate) -> Self {
        let today = Some(today);
        Self { today, ..self }
    }

    /// The same, of accounts some of which were known by another key at first.
    #[must_use]
    pub fn with_first_keys(self, first_keys: HashMap<String, String>) -> Self {
        Self { first_keys, ..self }
    }

    /// The rows of a batch. The last of several with one key wins.
    pub fn rows(
        &mut self,
        app: &App,
        account_key: &str,
        records: Vec<TransactionRecord>,
    ) -> Vec<staged_transaction::Model> {
        let now = app.clock.now();
        let mut rows: Vec<staged_transaction::Model> = Vec::with_capacity(records.len());
        let mut places: HashMap<String, usize> = HashMap::new();
        for record in records {
            let row = self.row(app, account_key, record, now);
            if let Some(place) = places.get(&row.row_key) {
                rows[*place] = row;
            } else {
                places.insert(row.row_key.clone(), rows.len());
                rows.push(row);
            }
        }
        rows
    }

    fn row(
        &mut self,
        app: &App,
        account_key: &str,
        mut record: TransactionRecord,
        now: Timestamp,
    ) -> staged_transaction::Model {
        let row_key = self.row_key(
            account_key,
            record.id.as_deref(),
            record.posted_on,
            record.amount,
            &record.description,
            record.description_raw.as_deref(),
        );
        let search_text = match &record.description_raw {
            Some(raw) => fold(&format!("{} {raw}", record.description)),
            None => fold(&record.description),
        };
        let holder = self.holders.get(account_key);
        let of_card = holder.is_some_and(|holder| holder.kind == AccountType::Credit);
        if of_card && self.today.is_some_and(|today| record.posted_on > today) {
            record.status = TransactionStatus::Pending;
            if let Some(card) = &mut record.details.card {
                card.bill_key = None;
            }
        }
        let decided = classifier::classify(&mut record, &search_text, holder);
        let bill_key = record
            .details
            .card
            .as_ref()
            .and_then(|card| card.bill_key.clone());
        let (details, payment_data) = particulars::stored(record.details);
        let number = |amount: Option<Amount>| amount.map_or_else(String::new, |a| a.to_string());
        let digest = hash(&[
            record.id.as_deref().unwrap_or(""),
            &record.date.0.to_string(),
            &record.posted_on.to_string(),
            &record.description,
            record.description_raw.as_deref().unwrap_or("\0"),
            &record.amount.to_string(),
            &number(record.amount_in_account_currency),
            &record.currency_code,
            record.kind.as_str(),
            record.status.as_str(),
            &number(record.balance),
            record.provider_code.as_deref().unwrap_or("\0"),
        ]);
        let digest = match &details {
            Some(details) => hash(&[&hex(&digest), &details.to_string()]),
            None => digest,
        };
        staged_transaction::Model {
            execution_id: self.execution,
            account_key: account_key.to_owned(),
            row_key,
            digest: digest.to_vec(),
            provider_id: record.id,
            date: record.date,
            posted_on: record.posted_on,
            description: record.description,
            description_raw: record.description_raw,
            search_text,
            amount_units: record.amount.units(),
            amount_nanos: record.amount.nanos(),
            account_amount_units: record.amount_in_account_currency.map(Amount::units),
            account_amount_nanos: record.amount_in_account_currency.map(Amount::nanos),
            currency_code: record.currency_code,
            kind: record.kind,
            status: record.status,
            balance_units: record.balance.map(Amount::units),
            balance_nanos: record.balance.map(Amount::nanos),
            provider_code: record.provider_code,
            category_id: decided.map(|decided| decided.category.id.to_owned()),
            category_source: decided.map(|decided| decided.source),
            rule_category_id: None,
            details,
            bill_key,
            payment_data: payment_data.filter(|_| self.payments),
            new_id: app.rng.id(now),
        }
    }

    /// Payment data by the key of the staged row that it is about.
    pub fn payments(
        &mut self,
        account_key: &str,
        rows: Vec<PaymentOf>,
    ) -> Vec<(String, Option<Value>)> {
        let keyed = rows.into_iter().map(|PaymentOf { movement, payment }| {
            let row_key = self.row_key(
                account_key,
                movement.id.as_deref(),
                movement.posted_on,
                movement.amount,
                &movement.description,
                movement.description_raw.as_deref(),
            );
            (row_key, particulars::stored_payment(&payment))
        });
        keyed.collect()
    }

    /// What a movement is matched by.
    fn row_key(
        &mut self,
        account_key: &str,
        id: Option<&str>,
        posted_on: NaiveDate,
        amount: Amount,
        description: &str,
        description_raw: Option<&str>,
    ) -> String {
        if let (Some(id), SourceKind::Institution) = (id, self.source) {
            return format!("i:{id}");
        }
        let first_key = self.first_keys.get(account_key);
        let content = hash(&[
            first_key.map_or(account_key, String::as_str),
            &posted_on.to_string(),
            &amount.to_string(),
            description,
            description_raw.unwrap_or(""),
        ]);
        if let Some(id) = id {
            return format!("i:{id}:{}", hex(&content));
        }
        let ordinal = self.ordinals.entry(content).or_insert(0);
        *ordinal += 1;
        format!("f:{}:{ordinal}", hex(&content))
    }
}

pub(super) fn hash(parts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let whole: [u8; 32] = hash.finalize().into();
    let (head, _) = whole.split_first_chunk().expect("32 bytes begin with 16");
    *head
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

/// What a merge did to one account's transactions.
#[derive(Debug)]
pub enum Merged {
    /// Done; these events are to be appended, in order.
    Done(Vec<Draft>, Counts),
    /// Nothing may be merged: the caller rolls back, remembers the account as suspect, and warns.
    Suspect {
        /// To be stored on the account.
        mark: Vec<u8>,
        /// What the client should know.
        warning: Warning,
    },
}

/// What a run knows of an account's transactions.
#[derive(Clone, Copy, Debug)]
pub struct Collected<'a> {
    /// What it has covered.
    pub coverage: Option<&'a Coverage>,
    /// How the rows behave.
    pub source: SourceKind,
    /// Whether payment data has been collected too. If not, what is stored of it stays.
    pub payments: bool,
    /// Whether no movement was left out because the regulator's limit was reached.
    pub in_full: bool,
}

/// Merges what a run has staged for an account. The account's row is saved when its own state has changed.
pub async fn merge(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
    row: &mut account::Model,
    collected: Collected<'_>,
) -> Result<Merged> {
    let now = app.clock.now();
    let key = row.key.clone();
    let side = Side {
        execution: execution.id,
        key: &key,
        account: row.id,
    };
    let of = (execution.application_id, execution.item_id);
    rule::apply(&app.db, txn, of, side, row.subtype).await?;
    let staged = merge::prefer_sets(&app.db, txn, side).await?;
    let covered = collected
        .coverage
        .filter(|covered| covered.complete && collected.source == SourceKind::Institution);
    let mut gone = match covered {
        Some(covered) => merge::gone(&app.db, txn, side, covered.window).await?,
        None => Vec::new(),
    };
    pair_settled(app, txn, side, &mut gone).await?;
    if let Some(covered) = covered {
        let before = row.suspect.take();
        let inside = merge::count_in(&app.db, txn, row.id, covered.window).await?;
        let inside = usize::try_from(inside).unwrap_or(0);
        if gone.len() > SUSPECT_ROWS
            && gone.len() * 100 > inside * SUSPECT_SHARE
            && !confirms(before.as_deref(), execution.id, &gone)
        {
            let mark = suspicion(execution.id, &gone);
            let warning = suspect_deletion(gone.len());
            return Ok(Merged::Suspect { mark, warning });
        }
        let to = Some(covered.window.to);
        let paid_to = to.filter(|_| collected.payments && collected.in_full);
        if row.collected_to < to || row.payment_collected_to < paid_to || before.is_some() {
            row.collected_to = row.collected_to.max(to);
            row.payment_collected_to = row.payment_collected_to.max(paid_to);
            accounts::save(txn, row).await?;
        }
    }
    let replaced = replacement::find(app, txn, side, &gone).await?;
    let gone: Vec<Uuid> = gone.into_iter().map(|gone| gone.id).collect();
    let mut updated = merge::update(&app.db, txn, side, collected.payments, now).await?;
    let known: HashSet<Uuid> = updated.iter().map(|row| row.id).collect();
    let billed = merge::bill(&app.db, txn, row.id, now).await?.into_iter();
    updated.extend(billed.filter(|id| !known.contains(id)).map(|id| Updated {
        id,
        fields: vec!["creditCardMetadata"],
    }));
    let of = (execution.item_id, row.id);
    kept::keep(&app.db, txn, of, &replaced, now).await?;
    merge::delete(&app.db, txn, &gone).await?;
    let replaced: HashMap<Uuid, Replaced> = replaced.into_iter().map(|it| (it.id, it)).collect();
    let for_good: Vec<Uuid> = gone
        .iter()
        .copied()
        .filter(|id| !replaced.contains_key(id))
        .collect();
    kept::forget(&app.db, txn, &for_good).await?;
    let owner = Owner {
        application: execution.application_id,
        item: execution.item_id,
    };
    let inserted = merge::insert(&app.db, txn, side, owner, collected.payments, now).await?;
    let kept: Vec<Replaced> = replaced.values().copied().collect();
    kept::carry(&app.db, txn, row.id, &kept).await?;
    let changed = updated.len() as u64;
    let counts = Counts {
        created: inserted.count,
        updated: changed,
        deleted: gone.len() as u64,
        unchanged: staged.saturating_sub(inserted.count + changed),
    };
    let done = Changes {
        by: execution.triggered_by,
        account: row.id,
        inserted,
        updated: &updated,
        gone: &gone,
        replaced: &replaced,
        now,
    };
    Ok(Merged::Done(done.events(), counts))
}

/// What a merge did to an account's rows.
struct Changes<'a> {
    by: TriggeredBy,
    account: Uuid,
    inserted: Inserted,
    updated: &'a [Updated],
    gone: &'a [Uuid],
    replaced: &'a HashMap<Uuid, Replaced>,
    now: Timestamp,
}

impl Changes<'_> {
    /// The events that this amounts to, in order.
    fn events(&self) -> Vec<Draft> {
        let by = Some(self.by);
        let mut events = Vec::new();
        if self.inserted.count > 0 {
            events.push(
                Draft::new(EventType::TransactionsCreated, by)
                    .of_account(self.account)
                    .carrying(&RowsInserted {
                        account_id: self.account,
                        transactions_count: self.inserted.count,
                        transactions_min_date: self.inserted.earliest,
                        transactions_created_at_from: self.now.to_string(),
                    }),
            );
        }
        events.extend(self.updated.chunks(EVENT_IDS).map(|rows| {
            let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
            let told = |it: &Updated| Told::updated(EntityKind::Transaction, it.id, &it.fields);
            Draft::new(EventType::TransactionsUpdated, by)
                .of_account(self.account)
                .carrying(&RowsChanged {
                    account_id: self.account,
                    transaction_ids: ids.into(),
                })
                .telling(rows.iter().map(told))
        }));
        events.extend(self.gone.chunks(EVENT_IDS).map(|ids| {
            let replacements = ids.iter().filter_map(|id| self.replaced.get(id));
            let told = |id: &Uuid| Told::deleted(EntityKind::Transaction, *id);
            Draft::new(EventType::TransactionsDeleted, by)
                .of_account(self.account)
                .carrying(&RowsDeleted {
                    account_id: self.account,
                    transaction_ids: ids.into(),
                    replacements: replacements.map(Replacement::from).collect(),
                })
                .telling(ids.iter().map(told))
        }));
        events
    }
}

/// Appends the events of a merge. Which rows are new is told in the database, where they are.
pub async fn append(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
    row: &account::Model,
    item: &mut item::Model,
    events: Vec<Draft>,
) -> Result<()> {
    let created = events
        .iter()
        .position(|draft| draft.kind() == EventType::TransactionsCreated);
    let ids = event::append(txn, app, item, events).await?;
    if let Some(event) = created.and_then(|place| ids.get(place)) {
        let side = Side {
            execution: execution.id,
            key: &row.key,
            account: row.id,
        };
        db::change::insert_created(&app.db, txn, side, *event, ACCOUNT_ORDINAL).await?;
    }
    Ok(())
}

/// Lets a PENDING row that has become POSTED under another key keep its id, although its text changed a little.
async fn pair_settled(
    app: &App,
    txn: &impl ConnectionTrait,
    side: Side<'_>,
    gone: &mut Vec<Gone>,
) -> Result<()> {
    let mut units: Vec<i64> = gone
        .iter()
        .filter(|gone| gone.status == TransactionStatus::Pending)
        .map(|gone| gone.amount_units)
        .collect();
    units.sort_unstable();
    units.dedup();
    if units.is_empty() {
        return Ok(());
    }
    let mut fresh = Vec::new();
    for chunk in units.chunks(500) {
        fresh.extend(merge::fresh_with_units(&app.db, txn, side, chunk).await?);
    }
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (g, gone) in gone.iter().enumerate() {
        for (f, fresh) in fresh.iter().enumerate() {
            if let Some(likeness) = settles(gone, fresh) {
                pairs.push((likeness, g, f));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let (mut paired, mut taken) = (vec![false; gone.len()], vec![false; fresh.len()]);
    for (_, g, f) in pairs {
        if !paired[g] && !taken[f] {
            (paired[g], taken[f]) = (true, true);
            merge::rekey(&app.db, txn, gone[g].id, &fresh[f].row_key).await?;
        }
    }
    let mut place = 0;
    gone.retain(|_| {
        place += 1;
        !paired[place - 1]
    });
    Ok(())
}

/// How alike a gone PENDING row and a fresh POSTED one are, if the one may have become the other.
fn settles(gone: &Gone, fresh: &Fresh) -> Option<f64> {
    let days = (fresh.posted_on - gone.posted_on).num_days();
    let same = gone.status == TransactionStatus::Pending
        && gone.amount_units == fresh.amount_units
        && gone.amount_nanos == fresh.amount_nanos
        && gone.currency_code == fresh.currency_code
        && (-1..=SETTLES_WITHIN_DAYS).contains(&days);
    if !same {
        return None;
    }
    let likeness = likeness(&gone.search_text, &fresh.search_text);
    (likeness >= SETTLES_ALIKE).then_some(likeness)
}

/// Which run found which rows gone: its id, then theirs.
fn suspicion(execution: Uuid, gone: &[Gone]) -> Vec<u8> {
    let ids = gone.iter().map(|gone| gone.id);
    std::iter::once(execution)
        .chain(ids)
        .flat_map(Uuid::into_bytes)
        .collect()
}

/// Whether another run has found these rows gone before. It may have read further back, and have missed more.
fn confirms(before: Option<&[u8]>, execution: Uuid, gone: &[Gone]) -> bool {
    let mut ids = before
        .unwrap_or_default()
        .chunks(execution.as_bytes().len());
    let another = ids.next().is_some_and(|run| run != execution.as_bytes());
    let ids: HashSet<&[u8]> = ids.collect();
    another
        && gone
            .iter()
            .all(|gone| ids.contains(gone.id.as_bytes().as_slice()))
}

fn suspect_deletion(rows: usize) -> Warning {
    Warning {
        code: "SUSPECT_DELETION".to_owned(),
        message: format!(
            "The institution no longer shows {rows} transactions of an account. Nothing of that account was changed; it will be if the next run says the same."
        ),
        provider_message: None,
    }
}
