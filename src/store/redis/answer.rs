//! Reading what Redis answers. What can't be read is an error of the call, whose effect is then
//! unknown.
use bytes::Bytes;
use redis::Value;

use super::wire::Epoch;
use crate::domain::error::StoreError;

fn unexpected() -> StoreError {
    StoreError::OutcomeUnknown("Redis gave an answer that can't be read".into())
}

pub(super) fn list(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(values) | Value::Set(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        _ => Err(unexpected()),
    }
}

pub(super) fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(Bytes::from(bytes)),
        Value::SimpleString(text) => Some(Bytes::from(text)),
        Value::Int(number) => Some(Bytes::from(number.to_string())),
        _ => None,
    }
}

pub(super) fn text(value: Option<Value>) -> Result<String, StoreError> {
    let bytes = value.and_then(bytes).ok_or_else(unexpected)?;
    String::from_utf8(bytes.into()).map_err(|_| unexpected())
}

pub(super) fn number(value: Option<Value>) -> Result<u64, StoreError> {
    match value {
        Some(Value::Int(number)) => u64::try_from(number).map_err(|_| unexpected()),
        other => text(other)?.parse().map_err(|_| unexpected()),
    }
}

/// Where a room's order stands, as the scripts say it.
pub(super) fn epoch(value: Option<Value>) -> Result<Epoch, StoreError> {
    Epoch::read(&mut text(value)?.split(' ')).ok_or_else(unexpected)
}
