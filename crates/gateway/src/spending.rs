//! What messages cost: what is reserved of a cap when one is accepted, and what is settled when it is known.

use domain::civil::TimeZone;
use domain::message::Message;
use domain::money::Money;
use domain::phone::Country;
use domain::route::{Prices, ProviderName};
use domain::time::Timestamp;

/// How spending is counted.
#[derive(Debug, Clone)]
pub struct SpendingSettings {
    /// What a segment is taken to cost where no price is known, in the currency of all caps. Where numbers may go that
    /// nobody has priced is where fraud goes.
    pub unknown_per_segment: Money,
    /// By whose clocks a day begins.
    pub time_zone: TimeZone,
}

impl SpendingSettings {
    /// The dearest price of the mission's providers for what nobody has priced, and days of a country.
    pub fn of(country: Country) -> Self {
        Self { unknown_per_segment: Money::usd(100_000), time_zone: TimeZone::of(country) }
    }
}

/// The prices, as caps count them: all in one currency.
#[derive(Debug, Clone)]
pub(crate) struct Tariff {
    prices: Prices,
    settings: SpendingSettings,
}

impl Tariff {
    pub(crate) fn new(prices: Prices, settings: SpendingSettings) -> Self {
        Self { prices, settings }
    }

    /// The price of a message by a provider, where that is known.
    pub(crate) fn price(&self, provider: &ProviderName, message: &Message) -> Option<Money> {
        self.prices.of(provider, message.receiver.country(), message.segments)
    }

    /// What is reserved for a message of which this is the price.
    pub(crate) fn charge(&self, price: Option<Money>, segments: u16) -> Money {
        let unknown = self.settings.unknown_per_segment;
        let price = price.and_then(|price| self.prices.exchange.convert(price, unknown.currency()));
        price.or_else(|| unknown.times(segments)).unwrap_or(unknown)
    }

    /// What a provider charged that took a message of so many segments: by its own figure, or else by the price list.
    pub(crate) fn charged(
        &self,
        provider: &ProviderName,
        country: Country,
        segments: u16,
        cost: Option<Money>,
    ) -> Money {
        let told = cost.and_then(|cost| {
            self.prices.exchange.convert(cost, self.settings.unknown_per_segment.currency())
        });
        told.unwrap_or_else(|| self.charge(self.prices.of(provider, country, segments), segments))
    }

    /// When the day ends that pays for what leaves now.
    pub(crate) fn end_of_day(&self, now: Timestamp) -> Timestamp {
        self.settings.time_zone.end_of_day(now)
    }
}
