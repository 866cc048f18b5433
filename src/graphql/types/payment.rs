//! Who paid whom, and how: read from what the connector said.

use async_graphql::Object;

use super::{
    super::scalar::Decimal,
    document::{read_word, words},
};
use crate::connector::{BoletoRecord, ParticipantRecord, PaymentRecord};

/// Who paid whom, and how.
pub struct PaymentData<'a>(pub &'a PaymentRecord);

/// Who paid whom, and how. What the institution does not tell is null.
#[Object]
impl PaymentData<'_> {
    /// Who paid.
    async fn payer(&self) -> Option<PaymentParticipant<'_>> {
        self.0.payer.as_ref().map(PaymentParticipant)
    }

    /// Who was paid.
    async fn receiver(&self) -> Option<PaymentParticipant<'_>> {
        self.0.receiver.as_ref().map(PaymentParticipant)
    }

    /// The way of payment.
    async fn payment_method(&self) -> Option<PaymentMethod> {
        self.0.payment_method.as_deref().map(read_word)
    }

    /// The way of payment in the institution's words.
    async fn payment_method_raw(&self) -> Option<&str> {
        self.0.payment_method.as_deref()
    }

    /// What the payer wrote.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The institution's number of the payment; of a Pix its end-to-end id.
    async fn reference_number(&self) -> Option<&str> {
        self.0.reference_number.as_deref()
    }

    /// The receiver's number of the payment.
    async fn receiver_reference_id(&self) -> Option<&str> {
        self.0.receiver_reference_id.as_deref()
    }

    /// What only payments of a boleto have.
    async fn boleto_metadata(&self) -> Option<BoletoMetadata<'_>> {
        self.0.boleto_metadata.as_ref().map(BoletoMetadata)
    }
}

words!(
    /// A way of payment.
    PaymentMethod {
        /// Pix: instant, at any time.
        Pix,
        /// TED: to another bank, the same day.
        Ted,
        /// DOC: to another bank, the next day.
        Doc,
        /// TEV: within one bank.
        Tev,
        /// Boleto: a bank slip.
        Boleto,
    }
);

/// One side of a payment.
pub struct PaymentParticipant<'a>(&'a ParticipantRecord);

/// One side of a payment. What the institution does not tell is null.
#[Object]
impl PaymentParticipant<'_> {
    /// The tax number.
    async fn document_number(&self) -> Option<PaymentDocument<'_>> {
        let told = self.0.document_number.is_some() || self.0.document_type.is_some();
        told.then_some(PaymentDocument(self.0))
    }

    /// Name.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Number of the account.
    async fn account_number(&self) -> Option<&str> {
        self.0.account_number.as_deref()
    }

    /// Number of the branch.
    async fn branch_number(&self) -> Option<&str> {
        self.0.branch_number.as_deref()
    }

    /// COMPE code of the bank: three digits.
    async fn routing_number(&self) -> Option<&str> {
        self.0.routing_number.as_deref()
    }

    /// ISPB code of the bank: eight digits.
    async fn routing_number_ispb(&self) -> Option<&str> {
        self.0.routing_number_ispb.as_deref()
    }
}

/// The tax number of one side of a payment.
pub struct PaymentDocument<'a>(&'a ParticipantRecord);

/// The tax number of one side of a payment. What the institution does not tell is null.
#[Object]
impl PaymentDocument<'_> {
    /// Kind of number.
    #[graphql(name = "type")]
    async fn kind(&self) -> Option<PaymentDocumentType> {
        self.0.document_type.as_deref().map(read_word)
    }

    /// Kind of number in the institution's words.
    async fn type_raw(&self) -> Option<&str> {
        self.0.document_type.as_deref()
    }

    /// The number, as the institution writes it; it may be masked.
    async fn value(&self) -> Option<&str> {
        self.0.document_number.as_deref()
    }
}

words!(
    /// Kind of a tax number.
    PaymentDocumentType {
        /// A person's.
        Cpf,
        /// A company's.
        Cnpj,
    }
);

/// A boleto that was paid.
pub struct BoletoMetadata<'a>(&'a BoletoRecord);

/// A boleto that was paid, in the account's currency. What the institution does not tell is null.
#[Object]
impl BoletoMetadata<'_> {
    /// What people type.
    async fn digitable_line(&self) -> Option<&str> {
        self.0.digitable_line.as_deref()
    }

    /// What machines read.
    async fn barcode(&self) -> Option<&str> {
        self.0.barcode.as_deref()
    }

    /// What was billed, without interest, penalty and discount.
    async fn base_amount(&self) -> Option<Decimal> {
        self.0.base_amount.map(Decimal)
    }

    /// Interest.
    async fn interest_amount(&self) -> Option<Decimal> {
        self.0.interest_amount.map(Decimal)
    }

    /// Penalty.
    async fn penalty_amount(&self) -> Option<Decimal> {
        self.0.penalty_amount.map(Decimal)
    }

    /// Discount.
    async fn discount_amount(&self) -> Option<Decimal> {
        self.0.discount_amount.map(Decimal)
    }
}
