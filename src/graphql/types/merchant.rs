//! What is known of merchants.

use async_graphql::{Context, Object, Result, SimpleObject};

use super::{super::ContextExt as _, category::Category};
use crate::{
    category::merchant::{self, Merchant},
    error::Error,
};

/// Most tax numbers in one call.
const MOST: usize = 200;

/// Tax numbers, sorted by what is known of them. Each comes once.
#[derive(SimpleObject)]
pub struct MerchantLookup {
    /// The merchants that are known, in the order asked for.
    found_merchants: Vec<KnownMerchant>,
    /// Tax numbers of companies that are not, with 14 characters.
    not_found_merchants: Vec<String>,
    /// What is no tax number of a company, as it was given: the check digits are wrong, or the length.
    invalid_cnpjs: Vec<String>,
}

/// A merchant that is known.
pub struct KnownMerchant {
    cnpj: String,
    merchant: &'static Merchant,
}

/// A merchant that is known by its tax number.
#[Object]
impl KnownMerchant {
    /// The tax number that was asked for, with 14 characters; it may be a branch's.
    async fn cnpj(&self) -> &str {
        &self.cnpj
    }

    /// As people know it.
    async fn name(&self) -> &str {
        self.merchant.name
    }

    /// As the register of companies knows it.
    async fn business_name(&self) -> &str {
        self.merchant.business_name
    }

    /// What it does, as a code of CNAE.
    async fn cnae(&self) -> &str {
        self.merchant.cnae
    }

    /// What is bought there.
    async fn category(&self) -> Category {
        Category(self.merchant.category)
    }
}

/// Looks tax numbers up.
pub fn look_up(ctx: &Context<'_>, cnpjs: &[String]) -> Result<MerchantLookup> {
    ctx.principal()?.require_api_key("look merchants up")?;
    if cnpjs.len() > MOST {
        let most = format!("at most {MOST} tax numbers; ask for the others in another call");
        return Err(Error::invalid("cnpjs", most).into());
    }
    let sorted = merchant::look_up(cnpjs);
    let found = sorted.found.into_iter();
    Ok(MerchantLookup {
        found_merchants: found
            .map(|(cnpj, merchant)| KnownMerchant { cnpj, merchant })
            .collect(),
        not_found_merchants: sorted.not_found,
        invalid_cnpjs: sorted.invalid,
    })
}
