//! Merging what a run has staged, one account a transaction, and ending the run.

use std::sync::Arc;

use entity::{
    execution,
    kind::{AccountType, Product, RegulatedCall},
};

use super::{
    record::{self, MergedAccount, Notes, steps},
    run::Lease,
    whole,
};
use crate::{
    app::App,
    connector::{BillRecord, Connector, SourceKind, Warning, regulated},
    error::Result,
    item::{save, state::Signal},
    product::{
        Counts, account, paper,
        statement::Issued,
        transaction::{self, Collected, Merged},
    },
};

const OLDER: RegulatedCall = RegulatedCall::TransactionsOlder;

/// Merges account by account, each noted in its own transaction: a crash goes on with the next one.
pub async fn merge(
    app: &App,
    lease: &Lease,
    connector: &Arc<dyn Connector>,
    mut execution: execution::Model,
) -> Result<()> {
    let source = connector.descriptor().source;
    let steps = steps(&execution)?;
    let went_well = |product: Product| {
        let mut of_product = steps.iter().filter(|step| step.product == product);
        of_product.any(|step| step.failure.is_none())
    };
    let of_run = OfRun {
        accounts: account::staged(app.db.read(), execution.id).await?,
        source,
        cards: went_well(Product::CreditCards),
        transactions: went_well(Product::Transactions),
        payments: went_well(Product::PaymentData),
        in_full: !steps.iter().any(|step| {
            let of_older = |warning: &Warning| warning.code == regulated::code(OLDER);
            step.product == Product::Transactions && step.warnings.iter().any(of_older)
        }),
        statements: went_well(Product::AccountStatements),
    };
    let of_run = Arc::new(of_run);
    for (place, staged) in of_run.accounts.iter().enumerate() {
        if record::merged(&execution)?
            .iter()
            .any(|one| one.product.is_none() && one.account == staged.record.key)
        {
            continue;
        }
        lease.check(app)?;
        execution = merge_account(app, execution, of_run.clone(), place).await?;
        app.wakes.relay.notify();
    }
    execution = whole::merge(app, lease, execution).await?;
    let withheld = record::merged(&execution)?
        .into_iter()
        .filter_map(|one| Some((one.withheld, one.warning?)))
        .flat_map(|(of, warning)| of.into_iter().map(move |of| (of, warning.clone())))
        .collect();
    let signal = if steps.iter().any(|step| step.failure.is_some()) {
        Signal::FinishedPartially
    } else {
        Signal::Finished
    };
    record::finish(app, execution, signal.into(), Notes::default(), withheld).await?;
    Ok(())
}

/// What all accounts of a run have in common.
struct OfRun {
    accounts: Vec<account::Staged>,
    source: SourceKind,
    /// Whether cards and their bills have been collected.
    cards: bool,
    /// Whether their transactions have been collected.
    transactions: bool,
    /// Whether the payment data of those has.
    payments: bool,
    /// Whether no movement was left out because the regulator's limit was reached.
    in_full: bool,
    /// Whether their statements have been collected.
    statements: bool,
}

impl OfRun {
    /// The collected products that an account has a part in.
    fn of_an_account(&self, kind: AccountType) -> Vec<Product> {
        let products = [
            (account::product(kind), true),
            (Product::Transactions, self.transactions),
            (Product::PaymentData, self.payments),
            (Product::AccountStatements, self.statements),
        ];
        let collected = products.into_iter().filter(|(_, collected)| *collected);
        collected.map(|(product, _)| product).collect()
    }
}

async fn merge_account(
    app: &App,
    mut execution: execution::Model,
    of_run: Arc<OfRun>,
    place: usize,
) -> Result<execution::Model> {
    let owner = app.clone();
    app.unit(async move {
        let (app, staged) = (owner, &of_run.accounts[place]);
        let key = staged.record.key.clone();
        let txn = app.db.begin().await?;
        let mut item = record::lock(&txn, &execution, app.clock.now()).await?;
        let (all, source) = (&of_run.accounts, of_run.source);
        let (mut row, told) = account::merge(&txn, &app, &execution, staged, all, source).await?;
        let mut of_account = Counts::of_one(told.as_ref());
        if of_run.cards && row.kind == AccountType::Credit {
            // Before the movements that are on them.
            of_account += paper::merge::<BillRecord>(&txn, &app, &execution, &row).await?;
        }
        let merged = if of_run.transactions {
            let covered = record::covered(&execution)?;
            let collected = Collected {
                coverage: covered.iter().find(|coverage| coverage.account == row.key),
                source,
                payments: of_run.payments,
                in_full: of_run.in_full,
            };
            transaction::merge(&txn, &app, &execution, &mut row, collected).await?
        } else {
            Merged::Done(Vec::new(), Counts::default())
        };
        let mut note = MergedAccount {
            account: key,
            product: None,
            counts: vec![(account::product(row.kind), of_account)],
            warning: None,
            withheld: Vec::new(),
            told,
        };
        match merged {
            Merged::Done(mut events, counts) => {
                if of_run.transactions {
                    note.counts.push((Product::Transactions, counts));
                }
                if let Some(first) = events.first_mut() {
                    first.tell_first(note.told.take());
                    transaction::append(&txn, &app, &execution, &row, &mut item, events).await?;
                    save(&txn, &item).await?;
                }
                if of_run.statements {
                    let counts = paper::merge::<Issued>(&txn, &app, &execution, &row).await?;
                    note.counts.push((Product::AccountStatements, counts));
                }
                record::note_merged(&txn, &app, &mut execution, note).await?;
                txn.commit().await?;
            }
            Merged::Suspect { mark, warning } => {
                txn.rollback().await?;
                let txn = app.db.begin().await?;
                record::lock(&txn, &execution, app.clock.now()).await?;
                account::suspect(&txn, row.id, mark).await?;
                (note.warning, note.told) = (Some(warning), None);
                note.withheld = of_run.of_an_account(row.kind);
                note.counts = vec![(account::product(row.kind), Counts::of_one(None))];
                record::note_merged(&txn, &app, &mut execution, note).await?;
                txn.commit().await?;
            }
        }
        Ok(execution)
    })
    .await
}
