//! Accounts and cards.

use std::collections::{HashMap, HashSet};

use entity::{
    account, execution,
    kind::{AccountSubtype, AccountType, EntityKind, Product},
    staged_document,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, sea_query::Expr,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    app::App,
    category::classifier::Holder,
    clock::Timestamp,
    connector::{AccountRecord, SourceKind},
    error::{Error, Result},
    event::change::Told,
    money::Amount,
};

/// What accounts are staged as.
pub const STAGED: &str = "account";

/// The product that an account of a family comes with.
pub fn product(kind: AccountType) -> Product {
    match kind {
        AccountType::Bank => Product::Accounts,
        AccountType::Credit => Product::CreditCards,
    }
}

/// An account as a run has staged it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Staged {
    /// Place in the institution's order.
    pub ordinal: i32,
    /// What the connector said.
    pub record: AccountRecord,
}

/// What a run has staged, in the institution's order.
pub async fn staged(connection: &impl ConnectionTrait, execution: Uuid) -> Result<Vec<Staged>> {
    let rows = staged_document::Entity::find()
        .filter(staged_document::Column::ExecutionId.eq(execution))
        .filter(staged_document::Column::Kind.eq(STAGED))
        .all(connection)
        .await?;
    let mut staged = rows
        .into_iter()
        .map(|row| serde_json::from_value::<Staged>(row.body).map_err(Error::internal))
        .collect::<Result<Vec<_>>>()?;
    staged.sort_by_key(|staged| staged.ordinal);
    Ok(staged)
}

/// What matters of accounts to what their movements are for, by their keys.
pub fn holders(accounts: &[Staged]) -> HashMap<String, Holder> {
    let holder = |record: &AccountRecord| Holder {
        kind: record.kind,
        tax_number: record.tax_number.clone(),
    };
    let records = accounts.iter().map(|staged| &staged.record);
    records
        .map(|record| (record.key.clone(), holder(record)))
        .collect()
}

/// The stored accounts of an Item.
pub async fn of_item(
    connection: &impl ConnectionTrait,
    execution: &execution::Model,
) -> Result<Vec<account::Model>> {
    Ok(account::Entity::owned_by(execution.application_id)
        .filter(account::Column::ItemId.eq(execution.item_id))
        .order_by_asc(account::Column::Id)
        .all(connection)
        .await?)
}

/// Which stored account each staged one is; new ones are missing.
pub struct Known<'a>(HashMap<String, &'a account::Model>);

impl<'a> Known<'a> {
    /// Looks for staged accounts among stored ones.
    ///
    /// A key that is unknown can be another name of an account that is known: an institution's keys may follow from the
    /// login. It is taken for the one account that the run does not show under its own key and that has the same
    /// traits, unless the run shows several with those. Files name accounts by their numbers, and those of two banks may
    /// be the same.
    pub fn among(stored: &'a [account::Model], staged: &[Staged], source: SourceKind) -> Self {
        let mut known: HashMap<String, &account::Model> = HashMap::with_capacity(staged.len());
        let mut fresh: Vec<&AccountRecord> = Vec::new();
        for Staged { record, .. } in staged {
            match stored.iter().find(|row| row.key == record.key) {
                Some(row) => {
                    known.insert(record.key.clone(), row);
                }
                None => fresh.push(record),
            }
        }
        if source == SourceKind::File {
            return Self(known);
        }
        let mut unseen: HashMap<Traits<'_>, Vec<&account::Model>> = HashMap::new();
        for row in stored.iter().filter(|row| !known.contains_key(&row.key)) {
            unseen.entry(stored_traits(row)).or_default().push(row);
        }
        let mut named: HashMap<Traits<'_>, usize> = HashMap::new();
        for Staged { record, .. } in staged {
            *named.entry(traits(record)).or_default() += 1;
        }
        for record in fresh {
            let traits = traits(record);
            let rows = unseen.get(&traits).map(Vec::as_slice);
            if let (Some([row]), Some(1)) = (rows, named.get(&traits)) {
                known.insert(record.key.clone(), *row);
            }
        }
        Self(known)
    }

    /// The account with this key, whatever it is known by.
    pub fn get(&self, key: &str) -> Option<&'a account::Model> {
        self.0.get(key).copied()
    }

    /// The accounts that there are staged ones of.
    fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.0.values().map(|row| row.id)
    }

    /// The keys that accounts were first known by, by the keys of those that were known by another one.
    pub fn first_keys(&self) -> HashMap<String, String> {
        let renamed = self.0.iter().filter_map(|(key, row)| {
            let first = row.first_key.as_ref().unwrap_or(&row.key);
            (first != key).then(|| (key.clone(), first.clone()))
        });
        renamed.collect()
    }
}

/// What an account is recognised by: kind, subtype, number, currency, tax number of the holder.
type Traits<'a> = (
    AccountType,
    AccountSubtype,
    &'a str,
    &'a str,
    Option<&'a str>,
);

fn traits(record: &AccountRecord) -> Traits<'_> {
    (
        record.kind,
        record.subtype,
        &record.number,
        &record.currency_code,
        record.tax_number.as_deref(),
    )
}

fn stored_traits(row: &account::Model) -> Traits<'_> {
    (
        row.kind,
        row.subtype,
        &row.number,
        &row.currency_code,
        row.tax_number.as_deref(),
    )
}

/// Stores an account, one of all those that the run has staged: updated in place when it is known and has changed,
/// inserted when it is new. Its id never changes. Answers it, and what there is to tell of it.
pub async fn merge(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
    staged: &Staged,
    all: &[Staged],
    source: SourceKind,
) -> Result<(account::Model, Option<Told>)> {
    let stored = of_item(txn, execution).await?;
    let known = Known::among(&stored, all, source)
        .get(&staged.record.key)
        .cloned();
    let now = app.clock.now();
    match known {
        None => {
            let row = model(app.rng.id(now), execution, staged, now);
            account::Entity::insert(row.clone().into_active_model().reset_all())
                .exec_without_returning(txn)
                .await?;
            let told = Told::created(EntityKind::Account, row.id);
            Ok((row, Some(told)))
        }
        Some(known) => {
            let mut row = model(known.id, execution, staged, now);
            row.created_at = known.created_at;
            row.updated_at = known.updated_at;
            row.first_key.clone_from(&known.first_key);
            if row.key != known.key && row.first_key.is_none() {
                row.first_key = Some(known.key.clone());
            }
            row.collected_to = known.collected_to;
            row.payment_collected_to = known.payment_collected_to;
            row.suspect.clone_from(&known.suspect);
            if row != known {
                row.updated_at = now;
                save(txn, &row).await?;
            }
            let told = differences(&known, &row);
            Ok((row, told))
        }
    }
}

/// Closes the accounts that a run no longer shows, of families that it has read as a whole, and answers what there is to
/// tell. They stay, with their rows, and are opened again by the run that shows them again.
pub async fn close_vanished(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
    read: &[Product],
    source: SourceKind,
) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    if read.is_empty() {
        return Ok(told);
    }
    let staged = staged(txn, execution.id).await?;
    let stored = of_item(txn, execution).await?;
    // Also what has another key by now, and was left as it was.
    let shown: HashSet<Uuid> = Known::among(&stored, &staged, source).ids().collect();
    let now = app.clock.now();
    for mut row in stored {
        let vanished = read.contains(&product(row.kind)) && !shown.contains(&row.id);
        if vanished && row.closed_at.is_none() {
            row.closed_at = Some(now);
            row.updated_at = now;
            save(txn, &row).await?;
            told.push(Told::updated(EntityKind::Account, row.id, &["closedAt"]));
        }
    }
    Ok(told)
}

/// What clients see differently. `updatedAt` always does, and is not named.
fn differences(a: &account::Model, b: &account::Model) -> Option<Told> {
    Told::differing(
        EntityKind::Account,
        b.id,
        &[
            ("type", a.kind != b.kind),
            ("subtype", a.subtype != b.subtype),
            ("subtypeRaw", a.subtype_raw != b.subtype_raw),
            ("number", a.number != b.number),
            ("name", a.name != b.name),
            ("marketingName", a.marketing_name != b.marketing_name),
            (
                "balance",
                (a.balance_units, a.balance_nanos) != (b.balance_units, b.balance_nanos),
            ),
            ("currencyCode", a.currency_code != b.currency_code),
            ("owner", a.owner != b.owner),
            ("taxNumber", a.tax_number != b.tax_number),
            ("bankData", a.bank_data != b.bank_data),
            ("creditData", a.credit_data != b.credit_data),
            ("closedAt", a.closed_at != b.closed_at),
        ],
    )
}

/// Writes an account back.
pub async fn save(txn: &impl ConnectionTrait, row: &account::Model) -> Result<()> {
    account::Entity::update(row.clone().into_active_model().reset_all())
        .exec(txn)
        .await?;
    Ok(())
}

/// Remembers that a run has found too much of an account gone to be believed at once.
pub async fn suspect(txn: &impl ConnectionTrait, id: Uuid, mark: Vec<u8>) -> Result<()> {
    account::Entity::update_many()
        .col_expr(account::Column::Suspect, Expr::value(mark))
        .filter(account::Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

fn model(
    id: Uuid,
    execution: &execution::Model,
    staged: &Staged,
    now: Timestamp,
) -> account::Model {
    let record = staged.record.clone();
    account::Model {
        id,
        application_id: execution.application_id,
        item_id: execution.item_id,
        key: record.key,
        first_key: None,
        ordinal: staged.ordinal,
        kind: record.kind,
        subtype: record.subtype,
        subtype_raw: record.subtype_raw,
        number: record.number,
        name: record.name,
        marketing_name: record.marketing_name,
        balance_units: record.balance.map(Amount::units),
        balance_nanos: record.balance.map(Amount::nanos),
        currency_code: record.currency_code,
        owner: record.owner,
        tax_number: record.tax_number,
        bank_data: record.bank_data,
        credit_data: record.credit_data,
        collected_to: None,
        payment_collected_to: None,
        suspect: None,
        closed_at: None,
        created_at: now,
        updated_at: now,
    }
}
