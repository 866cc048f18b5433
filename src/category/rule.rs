//! Rules of an application: what decides categories before the institution and the classifier do.
//!
//! A rule says which description it is for, by the folded text and the verbatim one alike, and may be for one direction,
//! one kind of account or one client user only. Of several that fit, a client user's own goes before the application's;
//! then EXACT before STARTS_WITH and ENDS_WITH before CONTAINS; then the longer text; then the one that is for less; then
//! the older one.
//!
//! The merge asks the rules, with the Item's row held and before it compares: a rule counts for everything that is stored
//! after it was made. What is stored already is left to the [`pass`].

use std::{cmp::Reverse, collections::HashMap};

use aho_corasick::AhoCorasick;
use entity::{
    category_rule, item,
    kind::{AccountSubtype, AuditAction, CategoryMatch, TransactionType},
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel as _, PaginatorTrait as _, QueryFilter as _, QuerySelect as _, QueryTrait as _,
    sea_query::Condition,
};
use uuid::Uuid;

use super::pass;
use crate::{
    app::App,
    audit::Entry,
    auth::Principal,
    db::{
        self, Db,
        merge::Side,
        page::{self, Conditions, Key, Page, Slice, Source},
        row::stored,
    },
    error::{Error, Result},
    item::check_client_user_id,
    product::text::plain,
};

/// Most rules of an application, those for single client users counted.
pub const MOST_RULES: u64 = 1_000;
/// Longest description, in characters.
const LONGEST: usize = 200;
/// Staged transactions that are looked at together.
const BATCH: usize = 2_000;

/// A rule as it is asked for.
#[derive(Clone, Debug)]
pub struct NewRule {
    /// The text.
    pub description: String,
    /// What it decides.
    pub category: String,
    /// How the text is compared.
    pub matching: CategoryMatch,
    /// The only direction it is for.
    pub transaction_type: Option<TransactionType>,
    /// The only kind of account it is for.
    pub account_type: Option<AccountSubtype>,
    /// The only client user it is for.
    pub client_user_id: Option<String>,
    /// Whether stored transactions are decided anew.
    pub apply_to_existing: bool,
}

const NOT_FOUND: Error = Error::NotFound {
    what: "category rule",
};

/// Makes a rule. One that is there already, for the same text and the same movements, decides for this category from now on.
pub async fn create(
    app: &App,
    principal: &Principal,
    new: NewRule,
) -> Result<category_rule::Model> {
    principal.require_api_key("make category rules")?;
    check_client_user_id(new.client_user_id.as_deref())?;
    let pattern = plain(&new.description);
    if pattern.is_empty()
        || new.description.chars().count() > LONGEST
        || new.description.contains('\0')
    {
        return Err(Error::invalid(
            "description",
            format!("1 to {LONGEST} characters, not all of them blank, none of them NUL"),
        ));
    }
    let category = super::find(&new.category).ok_or(Error::NotFound { what: "category" })?;
    let (owner, principal) = (app.clone(), principal.clone());
    let row = app
        .unit(async move {
            let (now, app) = (owner.clock.now(), owner);
            let txn = app.db.begin().await?;
            lock(&txn, &app, principal.application).await?;
            let known = same(&txn, principal.application, &new, &pattern).await?;
            let fresh = known.is_none();
            let row = category_rule::Model {
                id: known.as_ref().map_or_else(|| app.rng.id(now), |row| row.id),
                application_id: principal.application,
                client_user_id: new.client_user_id.clone(),
                description: new.description.trim().to_owned(),
                pattern,
                match_type: new.matching,
                transaction_type: new.transaction_type,
                account_type: new.account_type,
                category_id: category.id.to_owned(),
                created_at: known.as_ref().map_or(now, |row| row.created_at),
                updated_at: now,
            };
            let stored = row.clone().into_active_model().reset_all();
            if fresh {
                let rules = category_rule::Entity::owned_by(principal.application);
                if rules.count(&txn).await? >= MOST_RULES {
                    return Err(Error::TooManyCategoryRules { most: MOST_RULES });
                }
                category_rule::Entity::insert(stored)
                    .exec_without_returning(&txn)
                    .await?;
            } else {
                category_rule::Entity::update(stored).exec(&txn).await?;
            }
            if new.apply_to_existing {
                pass::request(&txn, &app, &row).await?;
            }
            entry(&app, &principal, AuditAction::CategoryRuleCreated, &row)
                .with("applyToExisting", new.apply_to_existing)
                .append(&txn, &app.clock, &app.rng)
                .await?;
            txn.commit().await?;
            Ok(row)
        })
        .await?;
    app.wakes.categories.notify();
    Ok(row)
}

/// Deletes a rule.
pub async fn delete(
    app: &App,
    principal: &Principal,
    id: Uuid,
    apply_to_existing: bool,
) -> Result<()> {
    principal.require_api_key("delete category rules")?;
    let (owner, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let app = owner;
        let txn = app.db.begin().await?;
        lock(&txn, &app, principal.application).await?;
        let row = category_rule::Entity::owned_by(principal.application)
            .filter(category_rule::Column::Id.eq(id))
            .one(&txn)
            .await?
            .ok_or(NOT_FOUND)?;
        category_rule::Entity::delete_by_id(id).exec(&txn).await?;
        if apply_to_existing {
            pass::request(&txn, &app, &row).await?;
        }
        entry(&app, &principal, AuditAction::CategoryRuleDeleted, &row)
            .with("applyToExisting", apply_to_existing)
            .append(&txn, &app.clock, &app.rng)
            .await?;
        Ok(txn.commit().await?)
    })
    .await?;
    app.wakes.categories.notify();
    Ok(())
}

fn entry(
    app: &App,
    principal: &Principal,
    action: AuditAction,
    row: &category_rule::Model,
) -> Entry {
    Entry::of(principal, action)
        .on(row.id)
        .about(&app.vault, row.client_user_id.as_deref())
}

/// Holds the rules of an application until the transaction ends.
async fn lock(txn: &DatabaseTransaction, app: &App, application: Uuid) -> Result<()> {
    let digest = app
        .vault
        .digest(&[b"category rules", application.as_bytes()]);
    app.db.lock_digest(txn, &digest).await
}

/// The rule that is for the same text and the same movements.
async fn same(
    txn: &impl ConnectionTrait,
    application: Uuid,
    new: &NewRule,
    pattern: &str,
) -> Result<Option<category_rule::Model>> {
    use category_rule::Column as C;

    let user = new.client_user_id.as_deref();
    Ok(category_rule::Entity::owned_by(application)
        .filter(C::Pattern.eq(pattern))
        .filter(C::MatchType.eq(new.matching))
        .filter(user.map_or_else(
            || C::ClientUserId.is_null(),
            |user| C::ClientUserId.eq(user),
        ))
        .filter(new.transaction_type.map_or_else(
            || C::TransactionType.is_null(),
            |kind| C::TransactionType.eq(kind),
        ))
        .filter(
            new.account_type
                .map_or_else(|| C::AccountType.is_null(), |kind| C::AccountType.eq(kind)),
        )
        .one(txn)
        .await?)
}

const RULES: Source = Source {
    table: "category_rule",
    primary: "id",
    parent: "application_id",
    order: &["id"],
    descending: false,
};

stored!(
    category_rule::Model {
        id,
        application_id,
        client_user_id,
        description,
        pattern,
        match_type,
        transaction_type,
        account_type,
        category_id,
        created_at,
        updated_at
    },
    |row| Key::Id(row.id)
);

/// A page of an application's rules, oldest first; only those for a client user, if one is given.
pub async fn list(
    app: &App,
    principal: &Principal,
    client_user_id: Option<&str>,
    slice: Slice,
) -> Result<Page<category_rule::Model>> {
    principal.require_api_key("see category rules")?;
    let owner = principal.application;
    let mut conditions = Conditions::default();
    conditions.equal("client_user_id", client_user_id);
    let of = |row: &category_rule::Model| row.application_id;
    let mut pages = page::of_parents(&app.db, RULES, &[owner], &conditions, slice, of).await?;
    Ok(pages.remove(&owner).unwrap_or_default())
}

/// Rules by id.
pub async fn by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, category_rule::Model>> {
    principal.require_api_key("see category rules")?;
    let rows = category_rule::Entity::owned_by(principal.application)
        .filter(category_rule::Column::Id.is_in(ids.iter().copied()))
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Forgets the rules that are for a client user, and what is under way for them.
pub async fn forget(
    txn: &impl ConnectionTrait,
    application: Uuid,
    client_user_id: &str,
) -> Result<()> {
    category_rule::Entity::delete_many()
        .filter(category_rule::Column::ApplicationId.eq(application))
        .filter(category_rule::Column::ClientUserId.eq(client_user_id))
        .exec(txn)
        .await?;
    pass::forget(txn, application, client_user_id).await
}

/// Rules made ready to decide, the first to be asked first.
pub struct Rules {
    rows: Vec<category_rule::Model>,
    /// By the text, where all of it is compared.
    exact: HashMap<String, Vec<usize>>,
    /// Finds the texts that are compared with a part.
    finder: Option<AhoCorasick>,
    /// Which rule each of those is of.
    partial: Vec<usize>,
}

impl Rules {
    /// What is for an Item.
    pub async fn of_item(
        connection: &impl ConnectionTrait,
        application: Uuid,
        id: Uuid,
    ) -> Result<Self> {
        let user = item::Entity::owned_by(application)
            .filter(item::Column::Id.eq(id))
            .filter(item::Column::ClientUserId.is_not_null())
            .select_only()
            .column(item::Column::ClientUserId)
            .into_query();
        let for_it = Condition::any()
            .add(category_rule::Column::ClientUserId.is_null())
            .add(category_rule::Column::ClientUserId.in_subquery(user));
        let rows = category_rule::Entity::owned_by(application)
            .filter(for_it)
            .all(connection)
            .await?;
        Self::new(rows)
    }

    /// These rules.
    pub fn new(mut rows: Vec<category_rule::Model>) -> Result<Self> {
        rows.sort_by_key(|row| {
            (
                row.client_user_id.is_none(),
                rank(row.match_type),
                Reverse(row.pattern.chars().count()),
                usize::from(row.transaction_type.is_none())
                    + usize::from(row.account_type.is_none()),
                row.id,
            )
        });
        let mut exact: HashMap<String, Vec<usize>> = HashMap::new();
        let mut partial = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            if row.match_type == CategoryMatch::Exact {
                exact.entry(row.pattern.clone()).or_default().push(place);
            } else {
                partial.push(place);
            }
        }
        let patterns = partial.iter().map(|place| &rows[*place].pattern);
        let finder = (!partial.is_empty())
            .then(|| AhoCorasick::new(patterns))
            .transpose()
            .map_err(Error::internal)?;
        Ok(Self {
            rows,
            exact,
            finder,
            partial,
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The id of the category that they decide for a movement with these texts.
    pub fn decide(
        &self,
        texts: [Option<&str>; 2],
        direction: TransactionType,
        account: AccountSubtype,
    ) -> Option<&str> {
        let fits = |place: &usize| {
            let row = &self.rows[*place];
            row.transaction_type.is_none_or(|only| only == direction)
                && row.account_type.is_none_or(|only| only == account)
        };
        let mut first: Option<usize> = None;
        for text in texts.into_iter().flatten().map(plain) {
            let whole = self.exact.get(&text).into_iter().flatten();
            let parts = self.finder.iter();
            let parts = parts.flat_map(|finder| finder.find_overlapping_iter(&text));
            let parts = parts.filter_map(|found| {
                let place = &self.partial[found.pattern().as_usize()];
                let there = match self.rows[*place].match_type {
                    CategoryMatch::Exact => false,
                    CategoryMatch::StartsWith => found.start() == 0,
                    CategoryMatch::EndsWith => found.end() == text.len(),
                    CategoryMatch::Contains => true,
                };
                there.then_some(place)
            });
            first = whole.chain(parts).copied().filter(fits).chain(first).min();
        }
        first.map(|place| self.rows[place].category_id.as_str())
    }
}

fn rank(matching: CategoryMatch) -> u8 {
    match matching {
        CategoryMatch::Exact => 0,
        CategoryMatch::StartsWith | CategoryMatch::EndsWith => 1,
        CategoryMatch::Contains => 2,
    }
}

/// Decides what a run has staged for an account by the rules as they are now. The caller holds the Item's row.
pub async fn apply(
    db: &Db,
    txn: &impl ConnectionTrait,
    (application, item): (Uuid, Uuid),
    side: Side<'_>,
    account: AccountSubtype,
) -> Result<()> {
    let rules = Rules::of_item(txn, application, item).await?;
    let mut behind = String::new();
    while !rules.is_empty() {
        let rows = db::category::staged(db, txn, side, &behind, BATCH).await?;
        let Some(last) = rows.last() else { break };
        let decided: Vec<(&str, &str)> = rows
            .iter()
            .filter_map(|row| {
                let texts = [
                    Some(row.description.as_str()),
                    row.description_raw.as_deref(),
                ];
                let category = rules.decide(texts, row.kind, account)?;
                Some((row.row_key.as_str(), category))
            })
            .collect();
        if !decided.is_empty() {
            db::category::decide_staged(db, txn, side, &decided).await?;
        }
        if rows.len() < BATCH {
            break;
        }
        behind.clone_from(&last.row_key);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
