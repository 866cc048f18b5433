//! The laboratory: what sandbox applications do to the made-up banks of their Items, to try their own work out.
//!
//! Nothing here touches what Ponte has collected: the bank changes, and the next run finds it changed.

use std::sync::Arc;

use chrono::NaiveDate;
use entity::{
    account, execution, item,
    kind::{
        AuditAction, ConnectorStatus, Environment, ExecutionStatus, Product, TransactionStatus,
    },
    sandbox_bank, sandbox_movement, transaction,
};
use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    sea_query::{Expr, ExprTrait as _},
};
use serde_json::json;
use uuid::Uuid;

use super::{Held, connector_named, health, lock, state};
use crate::{
    app::App,
    audit::Entry,
    auth::Principal,
    connector::{
        Connector, Descriptor, Warning,
        laboratory::{Edit, Laboratory, Mark, Written},
    },
    error::{Error, Result},
    money::Amount,
};

const WHAT: &str = "the laboratory";
const USE_IT: &str = "use the laboratory";
/// Most days that a bank can be ahead.
pub const MOST_DAYS: u32 = 3_650;
/// Most rows that are written or struck out by hand at an Item's bank.
const MOST_EDITS: u64 = 5_000;
/// Longest text of a row or a warning, in characters.
const LONGEST_TEXT: usize = 256;
/// Longest code of a warning.
const LONGEST_CODE: usize = 32;

/// What the laboratory says about a run of an Item, or about a call outside of runs, which is not told to fail; nothing but
/// for sandbox connectors.
pub async fn of_item(
    app: &App,
    form: &Descriptor,
    item: &item::Model,
    run: Option<Uuid>,
) -> Result<Laboratory> {
    if !form.is_sandbox {
        return Ok(Laboratory::default());
    }
    let bank = sandbox_bank::Entity::find_by_id(item.id)
        .one(app.db.read())
        .await?;
    let rows = sandbox_movement::Entity::find()
        .filter(sandbox_movement::Column::ItemId.eq(item.id))
        .order_by_asc(sandbox_movement::Column::Id)
        .all(app.db.read())
        .await?;
    let edit = |row: sandbox_movement::Model| {
        let edit: Edit = serde_json::from_value(row.body).map_err(Error::internal)?;
        Ok((row.account_key, edit))
    };
    let meant = |bank: &sandbox_bank::Model| run.is_some() && bank.spared_run != run;
    let days_ahead = bank.as_ref().map_or(0, days_ahead);
    let bank = bank.filter(meant);
    let warns = bank.as_ref().and_then(|bank| bank.warns_of.clone());
    Ok(Laboratory {
        days_ahead,
        warns: warns
            .map(serde_json::from_value)
            .transpose()
            .map_err(Error::internal)?,
        fails: bank.and_then(|bank| Some((bank.fails_with?, bank.fails_at))),
        offline: app.health.offline(form.id, item.application_id),
        edits: rows.into_iter().map(edit).collect::<Result<_>>()?,
    })
}

fn days_ahead(bank: &sandbox_bank::Model) -> u32 {
    u32::try_from(bank.days_ahead).unwrap_or(0)
}

/// Forgets the failure and the warning that a run was told to have, once it has ended.
pub async fn spent(txn: &impl ConnectionTrait, execution: &execution::Model) -> Result<()> {
    use sandbox_bank::Column as C;

    sandbox_bank::Entity::update_many()
        .col_expr(C::FailsWith, Expr::value(None::<String>))
        .col_expr(C::FailsAt, Expr::value(None::<String>))
        .col_expr(C::WarnsOf, Expr::value(None::<serde_json::Value>))
        .filter(C::ItemId.eq(execution.item_id))
        .filter(C::SparedRun.is_null().or(C::SparedRun.ne(execution.id)))
        .exec(txn)
        .await?;
    Ok(())
}

/// Fails unless the laboratory is this principal's to use with this connector.
fn check(app: &App, principal: &Principal, form: &Descriptor) -> Result<()> {
    principal.require_api_key(USE_IT)?;
    let environment = app
        .applications
        .find(principal.application)
        .map(|application| application.environment);
    if environment == Some(Environment::Sandbox) && form.is_sandbox {
        Ok(())
    } else {
        Err(Error::OnlyInSandbox(WHAT))
    }
}

/// Holds one of the principal's Items, to do something to its bank.
async fn open(app: &App, principal: &Principal, id: Uuid) -> Result<(DatabaseTransaction, Held)> {
    principal.require_api_key(USE_IT)?;
    let txn = app.db.begin().await?;
    let item = lock(&txn, principal, id).await?;
    check(app, principal, super::connector_of(app, &item).descriptor())?;
    Ok((txn, item))
}

/// Notes that something was done, and commits it.
async fn close(
    txn: DatabaseTransaction,
    app: &App,
    principal: &Principal,
    item: Held,
) -> Result<item::Model> {
    Entry::of(principal, AuditAction::SandboxChanged)
        .on(item.id)
        .about(&app.vault, item.client_user_id.as_deref())
        .append(&txn, &app.clock, &app.rng)
        .await?;
    txn.commit().await?;
    Ok(item.into_row())
}

/// The bank of an Item as it stands, or a new row for one that is as it was made.
async fn bank_of(
    txn: &DatabaseTransaction,
    item: &item::Model,
) -> Result<(sandbox_bank::Model, bool)> {
    let known = sandbox_bank::Entity::find_by_id(item.id).one(txn).await?;
    let stored = known.is_some();
    let bank = known.unwrap_or(sandbox_bank::Model {
        item_id: item.id,
        application_id: item.application_id,
        days_ahead: 0,
        fails_with: None,
        fails_at: None,
        warns_of: None,
        spared_run: None,
    });
    Ok((bank, stored))
}

async fn save_bank(
    txn: &DatabaseTransaction,
    bank: sandbox_bank::Model,
    stored: bool,
) -> Result<()> {
    let row = bank.into_active_model().reset_all();
    if stored {
        sandbox_bank::Entity::update(row).exec(txn).await?;
    } else {
        sandbox_bank::Entity::insert(row)
            .exec_without_returning(txn)
            .await?;
    }
    Ok(())
}

/// Moves an Item's bank forward in time; answers how many days it is ahead of the clock now.
pub async fn advance(
    app: &App,
    principal: &Principal,
    id: Uuid,
    days: u32,
) -> Result<(item::Model, u32)> {
    if days == 0 || days > MOST_DAYS {
        return Err(Error::invalid(
            "days",
            format!("must be between 1 and {MOST_DAYS}"),
        ));
    }
    let (owner, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let (txn, item) = open(&owner, &principal, id).await?;
        let (mut bank, stored) = bank_of(&txn, &item).await?;
        let ahead = days_ahead(&bank) + days;
        if ahead > MOST_DAYS {
            let reason = format!("the bank would be more than {MOST_DAYS} days ahead");
            return Err(Error::invalid("days", reason));
        }
        bank.days_ahead = i32::try_from(ahead).map_err(Error::internal)?;
        save_bank(&txn, bank, stored).await?;
        let item = close(txn, &owner, &principal, item).await?;
        Ok((item, ahead))
    })
    .await
}

/// Makes the next run of an Item warn of something in a product's step.
pub async fn warn_next(
    app: &App,
    principal: &Principal,
    id: Uuid,
    at: Product,
    warning: Warning,
) -> Result<item::Model> {
    principal.require_api_key(USE_IT)?;
    let spelt = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if !(1..=LONGEST_CODE).contains(&warning.code.len()) || !warning.code.chars().all(spelt) {
        let reason = format!("1 to {LONGEST_CODE} capitals, digits and _, such as ACCT_003");
        return Err(Error::invalid("code", reason));
    }
    check_text("message", &warning.message)?;
    if let Some(words) = &warning.provider_message {
        check_text("providerMessage", words)?;
    }
    let (owner, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let (txn, item) = open(&owner, &principal, id).await?;
        let (mut bank, stored) = bank_with(&txn, &item, Some(at)).await?;
        bank.warns_of = Some(json!((at, warning)));
        save_bank(&txn, bank, stored).await?;
        close(txn, &owner, &principal, item).await
    })
    .await
}

/// The bank of an Item whose next run is to be different, in the step of a product that the Item collects.
async fn bank_with(
    txn: &DatabaseTransaction,
    item: &item::Model,
    at: Option<Product>,
) -> Result<(sandbox_bank::Model, bool)> {
    if at.is_some_and(|product| !super::products_of(item).contains(&product)) {
        let reason = "the Item does not collect this product";
        return Err(Error::invalid("product", reason));
    }
    let (mut bank, stored) = bank_of(txn, item).await?;
    let under_way = super::unfinished(txn, item).await?;
    bank.spared_run = under_way.map(|run| run.id);
    Ok((bank, stored))
}

/// Makes the next run of an Item fail: in a product's step, or while logging in.
pub async fn fail_next(
    app: &App,
    principal: &Principal,
    id: Uuid,
    code: ExecutionStatus,
    at: Option<Product>,
) -> Result<item::Model> {
    if !state::is_failure(code) || code == ExecutionStatus::CreateError {
        return Err(Error::invalid(
            "code",
            "must be one that a run can end with, such as SITE_NOT_AVAILABLE",
        ));
    }
    if code == ExecutionStatus::MergeError && at.is_some() {
        let reason = "MERGE_ERROR comes when everything has been collected, and is of no product";
        return Err(Error::invalid("product", reason));
    }
    let (owner, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let (txn, item) = open(&owner, &principal, id).await?;
        let (mut bank, stored) = bank_with(&txn, &item, at).await?;
        bank.fails_with = Some(code);
        bank.fails_at = at;
        save_bank(&txn, bank, stored).await?;
        close(txn, &owner, &principal, item).await
    })
    .await
}

/// Switches a sandbox connector for the principal's application.
pub async fn switch(
    app: &App,
    principal: &Principal,
    connector: &str,
    status: ConnectorStatus,
) -> Result<Arc<dyn Connector>> {
    principal.require_api_key(USE_IT)?;
    let connector = connector_named(app, connector)?;
    check(app, principal, connector.descriptor())?;
    health::switch(app, principal, connector.descriptor(), status).await?;
    Ok(connector)
}

/// A row to be written at a bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMovement {
    /// Local day.
    pub posted_on: NaiveDate,
    /// The holder's view.
    pub amount: Amount,
    /// Text.
    pub description: String,
    /// Settled or not.
    pub status: TransactionStatus,
}

/// What is to change about a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MovementChange {
    /// Local day.
    pub posted_on: Option<NaiveDate>,
    /// The holder's view.
    pub amount: Option<Amount>,
    /// Text.
    pub description: Option<String>,
    /// Settled or not.
    pub status: Option<TransactionStatus>,
}

/// Writes a row into the book of an account; the next run finds it.
pub async fn write(
    app: &App,
    principal: &Principal,
    account: Uuid,
    new: NewMovement,
) -> Result<item::Model> {
    principal.require_api_key(USE_IT)?;
    check_text("description", &new.description)?;
    let (owner, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let app = owner;
        let account = account::Entity::owned_by(principal.application)
            .filter(account::Column::Id.eq(account))
            .one(app.db.read())
            .await?
            .ok_or(Error::NotFound { what: "account" })?;
        let (txn, item) = open(&app, &principal, account.item_id).await?;
        let now = app.clock.now();
        let written = Written {
            // Rows of cards have no ids at this bank.
            id: (account.kind == entity::kind::AccountType::Bank)
                .then(|| format!("hand-{}", app.rng.id(now).simple())),
            posted_on: new.posted_on,
            amount: new.amount,
            description: new.description,
            status: new.status,
        };
        let edit = Edit {
            of: None,
            struck: None,
            written: Some(written),
        };
        insert(&txn, &app, &item, &account.key, &edit).await?;
        close(txn, &app, &principal, item).await
    })
    .await
}

/// Changes a row at the bank that Ponte has collected; the next run finds it changed. Strikes it out when `to` is `None`.
pub async fn edit(
    app: &App,
    principal: &Principal,
    transaction: Uuid,
    to: Option<MovementChange>,
) -> Result<item::Model> {
    principal.require_api_key(USE_IT)?;
    if let Some(text) = to.as_ref().and_then(|to| to.description.as_deref()) {
        check_text("description", text)?;
    }
    let (owner, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let app = owner;
        let row = transaction::Entity::owned_by(principal.application)
            .filter(transaction::Column::Id.eq(transaction))
            .one(app.db.read())
            .await?
            .ok_or(Error::NotFound {
                what: "transaction",
            })?;
        let (txn, item) = open(&app, &principal, row.item_id).await?;
        let account = account::Entity::find_by_id(row.account_id)
            .one(&txn)
            .await?
            .ok_or(Error::NotFound {
                what: "transaction",
            })?;
        let amount =
            Amount::from_parts(row.amount_units, row.amount_nanos).map_err(Error::internal)?;
        let mark = Mark {
            id: row.provider_id.clone(),
            posted_on: row.posted_on,
            amount,
            description: row.description.clone(),
            settled: row.status == TransactionStatus::Posted,
        };
        let written = to.map(|to| Written {
            id: row.provider_id,
            posted_on: to.posted_on.unwrap_or(row.posted_on),
            amount: to.amount.unwrap_or(amount),
            description: to.description.unwrap_or(row.description),
            status: to.status.unwrap_or(row.status),
        });
        let edit = Edit {
            of: Some(row.id),
            struck: Some(mark),
            written,
        };
        replace(&txn, &app, &item, &account.key, edit).await?;
        close(txn, &app, &principal, item).await
    })
    .await
}

fn check_text(field: &'static str, text: &str) -> Result<()> {
    let length = text.chars().count();
    if (1..=LONGEST_TEXT).contains(&length) && !text.contains('\0') {
        Ok(())
    } else {
        let reason = format!("1 to {LONGEST_TEXT} characters, none of them NUL");
        Err(Error::invalid(field, reason))
    }
}

/// Strikes a row out and writes another in its place. A row that was written by hand, or edited before, is changed where it
/// was written.
async fn replace(
    txn: &DatabaseTransaction,
    app: &App,
    item: &item::Model,
    account_key: &str,
    edit: Edit,
) -> Result<()> {
    use sandbox_movement::{Column as C, Entity};

    let edits = Entity::find()
        .filter(C::ItemId.eq(item.id))
        .filter(C::AccountKey.eq(account_key))
        .order_by_desc(C::Id)
        .all(txn)
        .await?;
    for row in edits {
        let mut known: Edit = serde_json::from_value(row.body.clone()).map_err(Error::internal)?;
        let by_hand = known.written.as_ref().map(Written::mark);
        if known.of != edit.of && by_hand != edit.struck {
            continue;
        }
        // Ponte has this row under this id until the next run, whatever is done to it at the bank.
        known.of = edit.of;
        known.written = edit.written;
        if known.struck.is_none() && known.written.is_none() {
            Entity::delete_by_id(row.id).exec(txn).await?;
        } else {
            let mut changed = row.into_active_model();
            changed.body = Set(json!(known));
            Entity::update(changed).exec(txn).await?;
        }
        return Ok(());
    }
    insert(txn, app, item, account_key, &edit).await
}

async fn insert(
    txn: &DatabaseTransaction,
    app: &App,
    item: &item::Model,
    account_key: &str,
    edit: &Edit,
) -> Result<()> {
    let edits = sandbox_movement::Entity::find()
        .filter(sandbox_movement::Column::ItemId.eq(item.id))
        .count(txn)
        .await?;
    if edits >= MOST_EDITS {
        let reason = format!("at most {MOST_EDITS} rows are changed by hand at one Item's bank");
        return Err(Error::invalid("input", reason));
    }
    sandbox_movement::Entity::insert(sandbox_movement::ActiveModel {
        id: Set(app.rng.id(app.clock.now())),
        application_id: Set(item.application_id),
        item_id: Set(item.id),
        account_key: Set(account_key.to_owned()),
        body: Set(json!(edit)),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}
