//! Merging products that are shown whole, one parent a transaction, each noted in its own transaction: a crash goes on
//! with the next one.

use entity::{execution, kind::Product};

use super::{
    record::{self, MergedAccount},
    run::Lease,
};
use crate::{
    app::App,
    connector::{Coverage, InvestmentRecord, LoanRecord},
    error::Result,
    product::{
        Counts, investment,
        snapshot::{self, Parent, Snapshot},
        statement,
    },
};

/// Merges what is not noted as merged yet. What could not be collected stays as it is.
pub async fn merge(
    app: &App,
    lease: &Lease,
    mut execution: execution::Model,
) -> Result<execution::Model> {
    for product in [Product::Investments, Product::Loans] {
        if record::has_collected(&execution, product)? && noted(&execution, product)?.is_none() {
            lease.check(app)?;
            execution = merge_item(app, execution, product).await?;
        }
    }
    let product = Product::InvestmentsTransactions;
    if record::has_collected(&execution, product)? {
        loop {
            let after = noted(&execution, product)?.map(|note| note.account);
            let covered =
                investment::covered(app.db.read(), execution.id, after.as_deref()).await?;
            if covered.is_empty() {
                break;
            }
            for coverage in covered {
                lease.check(app)?;
                execution = merge_transactions(app, execution, coverage).await?;
            }
        }
    }
    if record::has_collected(&execution, Product::AccountStatements)? {
        lease.check(app)?;
        sweep(app, execution.clone()).await?;
    }
    Ok(execution)
}

/// Removes the files that no statement of the Item names: of runs that came to nothing, and of statements issued anew.
async fn sweep(app: &App, execution: execution::Model) -> Result<()> {
    let owner = app.clone();
    app.unit(async move {
        let txn = owner.db.begin().await?;
        record::lock(&txn, &execution, owner.clock.now()).await?;
        statement::sweep(&txn, execution.item_id).await?;
        Ok(txn.commit().await?)
    })
    .await
}

/// How far the merge of a product has come.
fn noted(execution: &execution::Model, product: Product) -> Result<Option<MergedAccount>> {
    let notes = record::merged(execution)?;
    Ok(notes.into_iter().find(|note| note.product == Some(product)))
}

/// Merges a product whose rows belong to the Item.
async fn merge_item(
    app: &App,
    mut execution: execution::Model,
    product: Product,
) -> Result<execution::Model> {
    let owner = app.clone();
    app.unit(async move {
        let app = owner;
        let txn = app.db.begin().await?;
        record::lock(&txn, &execution, app.clock.now()).await?;
        // Who is warned that something was left out does not know what is gone.
        let complete = record::steps(&execution)?
            .iter()
            .all(|step| step.product != product || step.warnings.is_empty());
        let of_item = |staged| Parent {
            id: execution.item_id,
            staged,
            within: None,
            complete,
        };
        let counts = if product == Product::Loans {
            let parent = of_item(LoanRecord::STAGED);
            snapshot::merge::<LoanRecord>(&txn, &app, &execution, parent).await?
        } else {
            let parent = of_item(InvestmentRecord::STAGED);
            snapshot::merge::<InvestmentRecord>(&txn, &app, &execution, parent).await?
        };
        let note = note(product, String::new(), counts);
        record::note_merged(&txn, &app, &mut execution, note).await?;
        txn.commit().await?;
        Ok(execution)
    })
    .await
}

/// Merges the movements of one position.
async fn merge_transactions(
    app: &App,
    mut execution: execution::Model,
    coverage: Coverage,
) -> Result<execution::Model> {
    let owner = app.clone();
    app.unit(async move {
        let (app, product) = (owner, Product::InvestmentsTransactions);
        let txn = app.db.begin().await?;
        record::lock(&txn, &execution, app.clock.now()).await?;
        let mut counts = investment::merge_transactions(&txn, &app, &execution, &coverage).await?;
        let before = noted(&execution, product)?.map_or_else(Vec::new, |note| note.counts);
        for (_, before) in before {
            counts += before;
        }
        let note = note(product, coverage.account, counts);
        record::note_merged(&txn, &app, &mut execution, note).await?;
        txn.commit().await?;
        Ok(execution)
    })
    .await
}

fn note(product: Product, parent: String, counts: Counts) -> MergedAccount {
    MergedAccount {
        account: parent,
        product: Some(product),
        counts: vec![(product, counts)],
        warning: None,
        withheld: Vec::new(),
        told: None,
    }
}
