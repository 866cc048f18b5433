//! Categories of transactions.

use async_graphql::{Context, Enum, ID, Object, Result, parser::types::Field};

use super::super::{
    ContextExt as _, loader,
    page::{self, Arguments, List, Pointed, connection},
    rows::{Json, Plain},
    scalar::Id,
};
use crate::{
    app::App,
    category,
    db::page::{Key, Page, cut},
};

/// A category of transactions.
#[derive(Clone, Copy)]
pub struct Category(pub &'static category::Category);

/// What money is spent on, or where it comes from. The tree of categories is the same for everybody, and an id never changes its meaning.
#[Object]
impl Category {
    /// Identity: eight digits, two for each level of the tree, the unused ones 0.
    pub async fn id(&self) -> Id {
        Id::Word(self.0.id)
    }

    /// Name, in English.
    async fn description(&self) -> &str {
        self.0.description
    }

    /// Name, in Portuguese.
    async fn description_translated(&self) -> &str {
        self.0.translated
    }

    /// The id of the category that it belongs to; null for a root.
    async fn parent_id(&self) -> Option<Id> {
        self.0.parent().map(|parent| Id::Word(parent.id))
    }

    /// The English name of the category that it belongs to; null for a root.
    async fn parent_description(&self) -> Option<&str> {
        self.0.parent().map(|parent| parent.description)
    }

    /// The category that it belongs to; null for a root.
    async fn parent(&self) -> Option<Category> {
        self.0.parent().map(Category)
    }

    /// The categories that belong to it, one level below, by ascending id; empty at the lowest level. One answer holds 10,000 of them at most.
    async fn children(&self, ctx: &Context<'_>) -> Result<Vec<Category>> {
        let children: Vec<_> = self.0.children().map(Category).collect();
        loader::count_categories(ctx, children.len())?;
        Ok(children)
    }
}

impl Plain for Category {
    fn write(&self, app: &App, field: &Field, json: &mut Json) -> Option<()> {
        let category = self.0;
        match field.name.node.as_str() {
            "id" => json.word(category.id),
            "description" => json.text(category.description),
            "descriptionTranslated" => json.text(category.translated),
            "parentId" => json.maybe(category.parent().map(|parent| parent.id), Json::word),
            "parentDescription" => {
                let description = category.parent().map(|parent| parent.description);
                json.maybe(description, Json::text)
            }
            "parent" => json.maybe(category.parent(), |json, parent| {
                json.object(&Category(parent), app, &field.selection_set.node)
            }),
            _ => None,
        }
    }
}

impl From<&'static category::Category> for Category {
    fn from(category: &'static category::Category) -> Self {
        Self(category)
    }
}

impl Pointed for Category {
    fn pointer(&self) -> String {
        page::cursor(List::Categories, key(self.0))
    }
}

fn key(category: &category::Category) -> Key {
    Key::Position(category.number())
}

/// Counts categories.
pub struct CategoryCount(i64);

impl CategoryCount {
    async fn count(&self, _: &Context<'_>) -> Result<i64> {
        Ok(self.0)
    }
}

connection!(
    /// A page of categories, by ascending id: each before those that belong to it.
    CategoryConnection,
    /// A category in a list.
    CategoryEdge,
    Category,
    counted by CategoryCount
);

/// A page of all categories, or of those that belong to one.
pub fn list(
    ctx: &Context<'_>,
    first: Option<i32>,
    after: Option<String>,
    parent: Option<&ID>,
) -> Result<CategoryConnection> {
    ctx.principal()?;
    let arguments = Arguments {
        first,
        after,
        ..Arguments::default()
    };
    let slice = arguments.slice(List::Categories, crate::graphql::MOST_ROWS)?;
    let found: Vec<_> = match parent {
        None => category::all().iter().collect(),
        Some(parent) => match category::find(parent) {
            Some(parent) => parent.children().collect(),
            None => Vec::new(),
        },
    };
    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let page: Page<_> = cut(found, |row| key(row), false, slice);
    Ok(CategoryConnection::new(page, CategoryCount(count)))
}

/// Who has decided the category of a transaction.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::CategorySource")]
pub enum CategorySource {
    /// Its user, by `updateTransaction`. Nothing else changes it.
    User,
    /// A rule of yours, by `createCategoryRule`.
    Rule,
    /// The institution.
    Institution,
    /// The classifier of this Ponte, by text, counterpart, merchant and kind of movement.
    Classifier,
}
