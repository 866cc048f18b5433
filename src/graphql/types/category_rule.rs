//! Rules that decide categories, and the user's own choice.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};
use entity::{category_rule, kind};

use super::{
    super::{
        ContextExt as _,
        page::{self, Arguments, List, Pointed, connection},
        rows::Plain,
        scalar::{DateTime, Id},
    },
    account::AccountSubtype,
    category::Category,
    transaction::{Transaction, TransactionType},
};
use crate::{
    category::{self, rule::NewRule},
    db::row::Row as _,
    item::check_client_user_id,
};

/// A rule that decides the category of transactions.
#[derive(Clone)]
pub struct CategoryRule(pub category_rule::Model);

/// A rule of yours: transactions with such a description get this category, before the institution and the classifier are asked; a user's own choice goes before it. Of several that fit, one for the client user goes before those for all; then EXACT before STARTS_WITH and ENDS_WITH before CONTAINS; then the longer description; then the one for a direction or a kind of account; then the older one.
#[Object]
impl CategoryRule {
    /// Identity.
    pub async fn id(&self) -> Id {
        Id::Row(self.0.id)
    }

    /// The text that descriptions are compared with, the cleaned and the verbatim one alike, without regard to case, accents and repeated spaces.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// How they are compared.
    async fn match_type(&self) -> CategoryMatchType {
        self.0.match_type.into()
    }

    /// The only direction that it is for; null for both.
    async fn transaction_type(&self) -> Option<TransactionType> {
        self.0.transaction_type.map(Into::into)
    }

    /// The only kind of account that it is for; null for all.
    async fn account_type(&self) -> Option<AccountSubtype> {
        self.0.account_type.map(Into::into)
    }

    /// The only client user that it is for; null for all.
    async fn client_user_id(&self) -> Option<&str> {
        self.0.client_user_id.as_deref()
    }

    /// The category that it decides.
    async fn category(&self) -> Option<Category> {
        category::find(&self.0.category_id).map(Category)
    }

    /// The id of that category.
    async fn category_id(&self) -> ID {
        ID(self.0.category_id.clone())
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

impl Plain for CategoryRule {}

impl From<category_rule::Model> for CategoryRule {
    fn from(row: category_rule::Model) -> Self {
        Self(row)
    }
}

impl Pointed for CategoryRule {
    fn pointer(&self) -> String {
        page::cursor(List::CategoryRules, self.0.key())
    }
}

connection!(
    /// A page of category rules, oldest first.
    CategoryRuleConnection,
    /// A category rule in a list.
    CategoryRuleEdge,
    CategoryRule
);

/// A page of your category rules.
pub async fn list(
    ctx: &Context<'_>,
    first: Option<i32>,
    after: Option<String>,
    client_user_id: Option<&str>,
) -> Result<CategoryRuleConnection> {
    let arguments = Arguments {
        first,
        after,
        ..Arguments::default()
    };
    let slice = arguments.slice(List::CategoryRules, crate::graphql::MOST_ROWS)?;
    check_client_user_id(client_user_id)?;
    let (app, principal) = (ctx.app(), ctx.principal()?);
    let page = category::rule::list(app, principal, client_user_id, slice).await?;
    Ok(CategoryRuleConnection::new(page))
}

/// How the description of a rule is compared with that of a transaction.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::CategoryMatch")]
pub enum CategoryMatchType {
    /// They are the same.
    Exact,
    /// The transaction's begins with the rule's.
    StartsWith,
    /// The transaction's ends with the rule's.
    EndsWith,
    /// The rule's is somewhere in the transaction's.
    Contains,
}

/// What a new rule decides, and of what.
#[derive(InputObject)]
pub struct CreateCategoryRuleInput {
    /// The text that descriptions are compared with. 1 to 200 characters.
    description: String,
    /// The category that it decides.
    category_id: ID,
    /// How descriptions are compared with the text. EXACT when left out.
    match_type: Option<CategoryMatchType>,
    /// The only direction that it is for; both when left out.
    transaction_type: Option<TransactionType>,
    /// The only kind of account that it is for; all when left out.
    account_type: Option<AccountSubtype>,
    /// Your name for the only client user that it is for; all when left out. 1 to 256 characters.
    client_user_id: Option<String>,
    /// Whether what is stored already is decided anew, soon; `transactions/updated` tells of what is different then. false when left out: it counts for what is collected from now on.
    apply_to_existing: Option<bool>,
}

impl From<CreateCategoryRuleInput> for NewRule {
    fn from(input: CreateCategoryRuleInput) -> Self {
        Self {
            description: input.description,
            category: input.category_id.0,
            matching: input
                .match_type
                .map_or(kind::CategoryMatch::Exact, Into::into),
            transaction_type: input.transaction_type.map(Into::into),
            account_type: input.account_type.map(Into::into),
            client_user_id: input.client_user_id,
            apply_to_existing: input.apply_to_existing.unwrap_or_default(),
        }
    }
}

/// A rule that decides from now on.
#[derive(SimpleObject)]
pub struct CreateCategoryRulePayload {
    /// The rule. One that was there already for the same description, client user, direction, kind of account and way to compare has kept its id and got the new category.
    pub category_rule: CategoryRule,
}

/// Which rule is to be deleted.
#[derive(InputObject)]
pub struct DeleteCategoryRuleInput {
    /// Which rule.
    pub category_rule_id: ID,
    /// Whether what is stored already is decided anew, soon; `transactions/updated` tells of what is different then. false when left out: what it has decided stays until it is collected again.
    pub apply_to_existing: Option<bool>,
}

/// That a rule is gone.
#[derive(SimpleObject)]
pub struct DeleteCategoryRulePayload {
    /// Its id.
    pub deleted_category_rule_id: ID,
}

/// What is to change about a transaction.
#[derive(InputObject)]
pub struct UpdateTransactionInput {
    /// Which transaction.
    pub transaction_id: ID,
    /// The category that its user has chosen: nothing that is collected later changes it. Left out: unchanged. Null: the choice is taken back, and what a rule, the institution or the classifier says shows again.
    pub category_id: MaybeUndefined<ID>,
}

/// A changed transaction.
#[derive(SimpleObject)]
pub struct UpdateTransactionPayload {
    /// The transaction in its new state, committed.
    pub transaction: Transaction,
}
