//! Merging against inserting.

use std::time::Instant;

use entity::{
    account, event, execution,
    kind::{EventType, ExecutionStatus, Product, TriggeredBy},
    transaction,
};
use ponte::{
    app::App,
    connector::{Coverage, SourceKind, Window},
    db::{change, merge},
    product::{
        self,
        transaction::{Collected, Stager},
    },
};
use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::{NotSet, Set},
    DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
};
use serde_json::json;
use uuid::Uuid;

use crate::{median, verdict};

/// Merging 100,000 staged transactions against inserting the same rows plainly.
#[expect(
    clippy::too_many_lines,
    reason = "one measurement from seed to verdict"
)]
pub async fn merging(app: &App, application: Uuid) {
    const ROWS: usize = 100_000;
    let (mut ours, mut theirs, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..3_u128 {
        let now = app.clock.now();
        let item_id = Uuid::from_u128(0xffff_0000 + round);
        let execution = execution::Model {
            id: app.rng.id(now),
            application_id: application,
            item_id,
            connector_id: 0,
            triggered_by: TriggeredBy::Client,
            status: ExecutionStatus::Merging,
            resumes_auto_sync: false,
            first_run: true,
            products: json!([Product::Accounts, Product::Transactions]),
            steps: json!([]),
            covered: json!([]),
            merged: json!([]),
            session: None,
            answer: None,
            upload_ids: json!([]),
            question_asked: 0,
            due_at: now,
            epoch: 1,
            lease_until: None,
            lost_leases: 0,
            claimed_early: false,
            early_losses: 0,
            error_code: None,
            failure: None,
            created_at: now,
            started_at: None,
            logged_in_at: None,
            merging_at: None,
            ended_at: None,
        };
        let mut row = account_row(app, application, item_id, "merged");
        account::Entity::insert(row.clone().into_active_model().reset_all())
            .exec_without_returning(app.db.write())
            .await
            .expect("an account");

        let began = Instant::now();
        let mut keys = Stager::new(execution.id, SourceKind::Institution, false);
        let mut staged = Vec::with_capacity(ROWS);
        for batch in 0..ROWS / 1_000 {
            let rows = keys.rows(app, "merged", records(batch));
            staged.extend(rows.iter().cloned());
            let txn = app.db.begin().await.expect("a transaction");
            merge::stage(&txn, rows).await.expect("staged");
            txn.commit().await.expect("committed");
        }
        let staging = began.elapsed();
        let coverage = Coverage {
            account: "merged".to_owned(),
            window: Window {
                from: now.date() - chrono::Days::new(365),
                to: now.date(),
            },
            complete: true,
        };
        let began = Instant::now();
        let txn = app.db.begin().await.expect("a transaction");
        product::transaction::merge(
            &txn,
            app,
            &execution,
            &mut row,
            Collected {
                coverage: Some(&coverage),
                source: SourceKind::Institution,
                payments: false,
                in_full: true,
            },
        )
        .await
        .expect("merged");
        tell(app, &txn, &execution, row.id).await;
        txn.commit().await.expect("committed");
        ours.push(began.elapsed().as_secs_f64());
        whole.push((staging + began.elapsed()).as_secs_f64());

        let plain = account_row(app, application, item_id, "plain");
        account::Entity::insert(plain.clone().into_active_model().reset_all())
            .exec_without_returning(app.db.write())
            .await
            .expect("an account");
        let rows: Vec<_> = staged
            .into_iter()
            .map(|staged| stored(app, application, item_id, plain.id, staged))
            .collect();
        let began = Instant::now();
        let txn = app.db.begin().await.expect("a transaction");
        for chunk in rows.chunks(1_000) {
            let chunk: Vec<_> = chunk
                .iter()
                .map(|row| row.clone().into_active_model().reset_all())
                .collect();
            transaction::Entity::insert_many(chunk)
                .exec_without_returning(&txn)
                .await
                .expect("inserted");
        }
        txn.commit().await.expect("committed");
        theirs.push(began.elapsed().as_secs_f64());
    }
    let (ours, theirs, whole) = (median(ours), median(theirs), median(whole));
    println!(
        "merge of {ROWS} new transactions: {ours:.2} s ({whole:.2} s with staging), plain multi-row insert {theirs:.2} s"
    );
    verdict(theirs / ours, 0.3);
    println!("    with staging:");
    verdict(theirs / whole, 0.3);
}

/// Tells of the inserted rows, as the worker does in the same transaction.
async fn tell(app: &App, txn: &DatabaseTransaction, execution: &execution::Model, account: Uuid) {
    let now = app.clock.now();
    let id = app.rng.id(now);
    event::Entity::insert(event::ActiveModel {
        sequence: NotSet,
        id: Set(id),
        application_id: Set(execution.application_id),
        position: Set(None),
        kind: Set(EventType::TransactionsCreated),
        item_id: Set(Some(execution.item_id)),
        account_id: Set(Some(account)),
        connector_id: Set(Some(execution.connector_id)),
        item_sequence: Set(Some(1)),
        client_user_id: Set(None),
        connect_token_id: Set(None),
        triggered_by: Set(Some(execution.triggered_by)),
        webhook_url: Set(None),
        payload: Set(json!({})),
        created_at: Set(now),
    })
    .exec_without_returning(txn)
    .await
    .expect("an event");
    let side = merge::Side {
        execution: execution.id,
        key: "merged",
        account,
    };
    change::insert_created(&app.db, txn, side, id, 0)
        .await
        .expect("told");
}

fn records(batch: usize) -> Vec<ponte::connector::TransactionRecord> {
    use entity::kind::{TransactionStatus, TransactionType};
    let today = chrono::NaiveDate::from_ymd_opt(2026, 1, 1).expect("a day");
    (0..1_000_i64)
        .map(|n| {
            let number = i64::try_from(batch).unwrap_or(0) * 1_000 + n;
            let posted_on = today - chrono::Days::new(u64::try_from(number % 300).unwrap_or(0));
            ponte::connector::TransactionRecord {
                id: Some(format!("bank-{number}")),
                date: posted_on
                    .and_hms_opt(0, 0, 0)
                    .expect("midnight")
                    .and_utc()
                    .into(),
                posted_on,
                description: format!("Supermercado Pão de Açúcar {number}"),
                description_raw: None,
                amount: ponte::money::Amount::from_cents(-number),
                amount_in_account_currency: None,
                currency_code: "BRL".to_owned(),
                kind: TransactionType::Debit,
                status: TransactionStatus::Posted,
                balance: None,
                provider_code: None,
                details: ponte::connector::TransactionDetails::default(),
            }
        })
        .collect()
}

fn account_row(app: &App, application: Uuid, item_id: Uuid, key: &str) -> account::Model {
    use entity::kind::{AccountSubtype, AccountType};
    let now = app.clock.now();
    account::Model {
        id: app.rng.id(now),
        application_id: application,
        item_id,
        key: key.to_owned(),
        first_key: None,
        ordinal: 0,
        kind: AccountType::Bank,
        subtype: AccountSubtype::CheckingAccount,
        subtype_raw: None,
        number: "1".to_owned(),
        name: "Checking account".to_owned(),
        marketing_name: None,
        balance_units: None,
        balance_nanos: None,
        currency_code: "BRL".to_owned(),
        owner: None,
        tax_number: None,
        bank_data: None,
        credit_data: None,
        collected_to: None,
        payment_collected_to: None,
        suspect: None,
        closed_at: None,
        created_at: now,
        updated_at: now,
    }
}

fn stored(
    app: &App,
    application_id: Uuid,
    item_id: Uuid,
    account_id: Uuid,
    staged: entity::staged_transaction::Model,
) -> transaction::Model {
    let now = app.clock.now();
    transaction::Model {
        id: app.rng.id(now),
        application_id,
        item_id,
        account_id,
        row_key: staged.row_key,
        digest: staged.digest,
        provider_id: staged.provider_id,
        date: staged.date,
        posted_on: staged.posted_on,
        description: staged.description,
        description_raw: staged.description_raw,
        search_text: staged.search_text,
        amount_units: staged.amount_units,
        amount_nanos: staged.amount_nanos,
        account_amount_units: staged.account_amount_units,
        account_amount_nanos: staged.account_amount_nanos,
        currency_code: staged.currency_code,
        kind: staged.kind,
        status: staged.status,
        balance_units: staged.balance_units,
        balance_nanos: staged.balance_nanos,
        provider_code: staged.provider_code,
        category_id: staged.category_id,
        category_source: staged.category_source,
        rule_category_id: staged.rule_category_id,
        user_category_id: None,
        details: staged.details,
        bill_key: staged.bill_key,
        bill_id: None,
        payment_data: staged.payment_data,
        created_at: now,
        updated_at: now,
    }
}
