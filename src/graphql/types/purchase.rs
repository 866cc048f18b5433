//! What only movements of cards have, and whom a purchase was made at: read from what the connector said.

use async_graphql::{Context, Object, Result};

use super::{
    super::{
        loader,
        scalar::{Date, Decimal, Id},
    },
    bill::Bill,
    document::{read_word, words},
};
use crate::{
    connector::{CardRecord, MerchantRecord},
    product::particulars::Particulars,
};

/// What only movements of credit cards have.
pub struct CreditCardMetadata<'a> {
    card: &'a CardRecord,
    bill: Option<uuid::Uuid>,
}

impl<'a> CreditCardMetadata<'a> {
    /// Of a movement, if it is one of a card.
    pub fn of(particulars: &'a Particulars) -> Option<Self> {
        let card = particulars.details.card.as_ref()?;
        Some(Self {
            card,
            bill: particulars.bill_id,
        })
    }
}

/// What only movements of credit cards have. What the institution does not tell is null.
#[Object]
impl CreditCardMetadata<'_> {
    /// Which instalment it is, from 1.
    async fn installment_number(&self) -> Option<i32> {
        self.card.installment_number
    }

    /// Of how many instalments.
    async fn total_installments(&self) -> Option<i32> {
        self.card.total_installments
    }

    /// What the whole purchase costs, in the movement's currency.
    async fn total_amount(&self) -> Option<Decimal> {
        self.card.total_amount.map(Decimal)
    }

    /// Day of the purchase.
    async fn purchase_date(&self) -> Option<Date> {
        self.card.purchase_date.map(Date)
    }

    /// What the merchant sells, as a code of ISO 18245.
    async fn payee_mcc(&self) -> Option<&str> {
        self.card.payee_mcc.as_deref()
    }

    /// Last digits of the card that was used; it may be another one than the account's.
    async fn card_number(&self) -> Option<&str> {
        self.card.card_number.as_deref()
    }

    /// Id of the bill it is on; null also while that has not been collected.
    async fn bill_id(&self) -> Option<Id> {
        self.bill.map(Id::Row)
    }

    /// The bill it is on; null also while that has not been collected.
    async fn bill(&self, ctx: &Context<'_>) -> Result<Option<Bill>> {
        let Some(bill) = self.bill else {
            return Ok(None);
        };
        Ok(loader::paper(ctx, bill).await?.map(Bill))
    }

    /// Month of the bill it will be on: `YYYY-MM`.
    async fn bill_forecast_date(&self) -> Option<&str> {
        self.card.bill_forecast_date.as_deref()
    }

    /// Kind of fee; null when it is none.
    async fn fee_type(&self) -> Option<CreditCardFeeType> {
        self.card.fee_type.as_deref().map(read_word)
    }

    /// Kind of fee in the institution's words; null when it is none.
    async fn fee_type_raw(&self) -> Option<&str> {
        self.card.fee_type.as_deref()
    }

    /// More about the fee.
    async fn fee_type_additional_info(&self) -> Option<&str> {
        self.card.fee_type_additional_info.as_deref()
    }

    /// Kind of credit; null when it is none.
    async fn other_credits_type(&self) -> Option<CreditCardCreditType> {
        self.card.other_credits_type.as_deref().map(read_word)
    }

    /// Kind of credit in the institution's words; null when it is none.
    async fn other_credits_type_raw(&self) -> Option<&str> {
        self.card.other_credits_type.as_deref()
    }

    /// More about the credit.
    async fn other_credits_additional_info(&self) -> Option<&str> {
        self.card.other_credits_additional_info.as_deref()
    }
}

words!(
    /// Kind of a fee on a card.
    CreditCardFeeType {
        /// For having the card.
        AnnualFee,
        /// For cash from a machine at home.
        AtmWithdrawalDomestic,
        /// For cash from a machine abroad.
        AtmWithdrawalInternational,
        /// For credit beyond the limit.
        EmergencyCreditEvaluation,
        /// For a new card in the place of one.
        CardReissue,
        /// For paying a bill with the card.
        BillPaymentFee,
        /// For messages to the telephone.
        Sms,
        /// Another one: see `feeTypeAdditionalInfo`.
        Other,
    }
);

words!(
    /// Kind of a credit that a card is used for.
    CreditCardCreditType {
        /// What was left of a bill.
        RevolvingCredit,
        /// A bill that is paid in instalments.
        BillInstallment,
        /// A loan.
        Loan,
        /// Another one: see `otherCreditsAdditionalInfo`.
        Other,
    }
);

/// Whom a purchase was made at.
pub struct Merchant<'a>(pub &'a MerchantRecord);

/// Whom a purchase was made at. What the institution does not tell is null.
#[Object]
impl Merchant<'_> {
    /// As people know it.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// As the register of companies knows it.
    async fn business_name(&self) -> Option<&str> {
        self.0.business_name.as_deref()
    }

    /// Tax number of the company.
    async fn cnpj(&self) -> Option<&str> {
        self.0.cnpj.as_deref()
    }

    /// What it does, as a code of CNAE.
    async fn cnae(&self) -> Option<&str> {
        self.0.cnae.as_deref()
    }

    /// What it sells, in the institution's words.
    async fn category(&self) -> Option<&str> {
        self.0.category.as_deref()
    }
}
