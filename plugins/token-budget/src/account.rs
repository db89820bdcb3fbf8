//! One budget of one payer: where the host counts it, in what, and what is held of it.

use tollgate_sdk::limits::{self, Algorithm, Error, Limit, Reservation};

use crate::{
    calendar,
    money::Money,
    price::Price,
    settings::{Budget, Settings},
    settle::Used,
};

/// A charge of a day has to count to its end. The bucket is the day's own, so it may count
/// longer: an hour more than a day has, in case the clocks of calendar and host drift.
const DAY_MS: u64 = 25 * 3_600_000;
const MONTH_MS: u64 = 32 * 86_400_000;

/// A budget that a request takes from.
#[derive(Debug)]
pub(crate) struct Account {
    bucket: String,
    limit: Limit,
    pub(crate) unit: Unit,
    held: Vec<(Reservation, u64)>,
}

/// What a budget is of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Tokens(&'static Budget),
    Money {
        amount: Money,
        price: &'static Price,
        currency: &'static str,
        /// `day` or `month`.
        span: &'static str,
        /// Until it ends.
        left_ms: u64,
    },
}

impl Unit {
    pub(crate) fn of(self, used: Used) -> u64 {
        match self {
            Self::Tokens(_) => used.total(),
            Self::Money { price, .. } => price.cost(used),
        }
    }

    /// How much output there is in so much of it.
    pub(crate) fn output_in(self, amount: u64) -> u64 {
        match self {
            Self::Tokens(_) => amount,
            Self::Money { price, .. } => price.output_for(amount),
        }
    }
}

/// All budgets that a request takes from. A model that costs nothing takes no money, even
/// where none is left.
pub(crate) fn all(
    settings: &'static Settings,
    budget: &'static Budget,
    price: Option<&'static Price>,
    payer: &str,
    now_ms: impl FnOnce() -> u64,
) -> Vec<Account> {
    let mut accounts = vec![Account::of(
        payer.to_owned(),
        budget.limit(),
        Unit::Tokens(budget),
    )];
    let price = price.filter(|price| !price.is_free());
    let (Some(money), Some(price), Some(prices)) = (&budget.money, price, &settings.prices) else {
        return accounts;
    };
    let now_ms = now_ms();
    let spans = [
        (money.day, "day", calendar::day(now_ms), DAY_MS),
        (money.month, "month", calendar::month(now_ms), MONTH_MS),
    ];
    for (amount, span, calendar, period_ms) in spans {
        let Some(amount) = amount else { continue };
        let limit = Limit {
            algorithm: Algorithm::SlidingWindow,
            amount: amount.micros(),
            period_ms,
        };
        let unit = Unit::Money {
            amount,
            price,
            currency: prices.currency.as_str(),
            span,
            left_ms: calendar.left_ms,
        };
        // No fact's name begins like this, so it is no bucket of tokens.
        let bucket = format!("={} {payer}", calendar.name);
        accounts.push(Account::of(bucket, limit, unit));
    }
    accounts
}

impl Account {
    fn of(bucket: String, limit: Limit, unit: Unit) -> Self {
        Self {
            bucket,
            limit,
            unit,
            held: Vec::new(),
        }
    }

    /// All there is of it.
    pub(crate) fn amount(&self) -> u64 {
        self.limit.amount
    }

    pub(crate) fn hold(&mut self, used: Used) -> Result<(), Error> {
        let amount = self.unit.of(used);
        let reservation = limits::reserve(&self.bucket, amount, &self.limit)?;
        self.held.push((reservation, amount));
        Ok(())
    }

    /// Lets go of what was held last.
    pub(crate) fn give_back(&mut self) {
        if let Some((reservation, _)) = self.held.pop() {
            reservation.settle(0);
        }
    }

    /// Charges what was used, more or less than is held, and lets go of the rest.
    pub(crate) fn settle(self, used: Used) {
        let mut left = self.unit.of(used);
        let mut held = self.held.into_iter();
        let first = held.next();
        for (reservation, amount) in held {
            let part = left.min(amount);
            reservation.settle(part);
            left -= part;
        }
        if let Some((reservation, _)) = first {
            reservation.settle(left);
        }
    }
}
