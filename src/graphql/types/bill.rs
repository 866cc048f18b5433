//! Bills of credit cards.

use async_graphql::{Context, Result};
use entity::{bill, kind::Product};
use uuid::Uuid;

use super::{
    super::{
        loader,
        page::{self, Arguments, List, Pointed, connection},
        rows::Plain,
        scalar::{Date, DateTime, Decimal, Id},
    },
    account::Account,
    document::{document, words},
    transaction::{self, TransactionConnection, TransactionFilter},
    transaction_order::TransactionOrder,
};
use crate::{db::row::Row as _, error::Error, product::list::Parent};

document!(
    /// A bill of a credit card. The one that is still open is provisional. A bill that the institution no longer shows stays. FORBIDDEN to connect tokens.
    Bill of bill::Model {
        /// Day on which it closes; null when the institution does not tell.
        bill_closing_date: Option<Date> = day("billClosingDate"),
        /// What is to be paid, in `totalAmountCurrencyCode`; null when the institution tells no number.
        total_amount: Option<Decimal> = decimal("totalAmount"),
        /// ISO 4217 code of `totalAmount` and `minimumPaymentAmount`.
        total_amount_currency_code: Option<&str> = text("totalAmountCurrencyCode"),
        /// The least to pay; null when the institution does not tell.
        minimum_payment_amount: Option<Decimal> = decimal("minimumPaymentAmount"),
        /// Whether it may be paid in instalments; null when the institution does not tell.
        allows_installments: Option<bool> = flag("allowsInstallments"),
        /// Interest, fines and taxes that are part of it.
        finance_charges: Vec<BillFinanceCharge<'_>> = list("financeCharges"),
        /// What has been paid of it.
        payments: Vec<BillPayment<'_>> = list("payments"),
    } and {
        /// Identity.
        pub async fn id(&self) -> Id {
            Id::Row(self.0.id)
        }

        /// Its card.
        async fn account(&self, ctx: &Context<'_>) -> Result<Account> {
            let account = loader::account(ctx, self.0.account_id).await?;
            Ok(Account(account.ok_or(Error::NotFound { what: "account" })?))
        }

        /// Day on which it is due.
        async fn due_date(&self) -> Date {
            Date(self.0.due_on)
        }

        /// The movements that the institution has put on it, newest first. At most 500 a page, 50 unless told.
        #[expect(clippy::too_many_arguments, reason = "as the public schema has them")]
        async fn transactions(
            &self,
            ctx: &Context<'_>,
            #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<i32>,
            #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
            #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
            #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
            #[graphql(desc = "Only these transactions.")] filter: Option<TransactionFilter>,
            #[graphql(desc = "In which order. DATE_DESC when left out.")] order_by: Option<TransactionOrder>,
        ) -> Result<TransactionConnection> {
            let arguments = Arguments { first, after, last, before };
            transaction::list(ctx, Parent::Bill, self.0.id, arguments, filter, order_by).await
        }

        /// When the institution last confirmed the bills of its Item; null when it never has.
        async fn as_of(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
            let freshness = loader::freshness(ctx, self.0.item_id, Product::CreditCards).await?;
            Ok(freshness.as_of.map(DateTime))
        }

        /// Whether that may be out of date: the last run was to update it and has not, or it is older than two intervals of automatic runs, than 48 hours where there are none; what a regulated institution may be asked only now and then has that time more.
        async fn stale(&self, ctx: &Context<'_>) -> Result<bool> {
            let freshness = loader::freshness(ctx, self.0.item_id, Product::CreditCards).await?;
            Ok(freshness.stale)
        }

        /// When it was first seen.
        async fn created_at(&self) -> DateTime {
            DateTime(self.0.created_at)
        }

        /// When it last changed.
        async fn updated_at(&self) -> DateTime {
            DateTime(self.0.updated_at)
        }
    }
);

document!(
    /// Interest, a fine or a tax on a bill. What the institution does not tell is null.
    BillFinanceCharge {
        /// The institution's id, or its place on the bill.
        id: Option<&str> = text("id"),
        /// What it is.
        #[graphql(name = "type")]
        kind: Option<BillFinanceChargeType> = word("type"),
        /// `type` in the institution's word.
        type_raw: Option<&str> = text("type"),
        /// How much.
        amount: Option<Decimal> = decimal("amount"),
        /// ISO 4217 code of `amount`.
        currency_code: Option<&str> = text("currencyCode"),
        /// More about it.
        additional_info: Option<&str> = text("additionalInfo"),
    }
);

words!(
    /// What is charged on a bill.
    BillFinanceChargeType {
        /// Interest on what was carried over.
        LatePaymentRemunerativeInterest,
        /// The fine for paying late.
        LatePaymentFee,
        /// Interest for paying late.
        LatePaymentInterest,
        /// The tax on financial operations.
        Iof,
        /// Something else: see `additionalInfo`.
        Other,
    }
);

document!(
    /// A payment of a bill. What the institution does not tell is null.
    BillPayment {
        /// The institution's id, or its place on the bill.
        id: Option<&str> = text("id"),
        /// How much of the bill it pays.
        value_type: Option<BillPaymentValueType> = word("valueType"),
        /// `valueType` in the institution's word.
        value_type_raw: Option<&str> = text("valueType"),
        /// When it was made.
        payment_date: Option<Date> = day("paymentDate"),
        /// How it was made.
        payment_mode: Option<BillPaymentMode> = word("paymentMode"),
        /// `paymentMode` in the institution's word.
        payment_mode_raw: Option<&str> = text("paymentMode"),
        /// How much.
        amount: Option<Decimal> = decimal("amount"),
        /// ISO 4217 code of `amount`.
        currency_code: Option<&str> = text("currencyCode"),
    }
);

words!(
    /// How much of a bill a payment pays.
    BillPaymentValueType {
        /// An instalment of it.
        InstallmentPayment,
        /// All of it.
        FullPayment,
        /// Some of it.
        OtherPayment,
    }
);

words!(
    /// How a bill was paid.
    BillPaymentMode {
        /// From an account at the institution.
        DebitAccount,
        /// By a bank slip.
        BankSlip,
        /// From the holder's wages.
        PayrollDeduction,
        /// By Pix.
        Pix,
    }
);

impl Plain for Bill {}

impl Pointed for Bill {
    fn pointer(&self) -> String {
        page::cursor(List::Bills, self.0.key())
    }
}

/// Counts the bills of an account.
pub struct BillCount(Uuid);

impl BillCount {
    async fn count(&self, ctx: &Context<'_>) -> crate::error::Result<i64> {
        loader::count_papers::<bill::Model>(ctx, self.0).await
    }
}

connection!(
    /// A page of bills, the last due first.
    BillConnection,
    /// A bill in a list.
    BillEdge,
    Bill,
    counted by BillCount
);

/// A page of the bills of an account.
pub async fn list(
    ctx: &Context<'_>,
    account: Uuid,
    arguments: Arguments,
) -> Result<BillConnection> {
    let slice = arguments.slice(List::Bills, crate::graphql::MOST_ROWS)?;
    let page = loader::papers_of::<bill::Model>(ctx, account, slice).await?;
    Ok(BillConnection::new(page, BillCount(account)))
}
