//! What is asked of a pickle, and of several in a row.

use std::collections::HashSet;

use super::{Machine, Storage, Tensor, Value, damaged};
use crate::error::{Result, fail};
use crate::quote::quote;

/// Tensors by name, and every storage that the pickle names.
pub(crate) type Tensors = (Vec<(String, Tensor)>, Vec<Storage>);

/// Pickles one after the other.
#[derive(Debug)]
pub(crate) struct PickleReader<'p> {
    bytes: &'p [u8],
    at: usize,
}

impl<'p> PickleReader<'p> {
    /// A reader of the pickles that `bytes` begin with.
    pub(crate) fn new(bytes: &'p [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far; after an error, up to where it arose.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn next(&mut self) -> Result<(Machine<'p>, Value)> {
        let mut machine = Machine { pickle: self.bytes, at: self.at, ..Machine::default() };
        let value = machine.run();
        self.at = machine.at;
        Ok((machine, value?))
    }

    /// The bytes of an integer of more than 64 bits, the lowest first; `None` for any other value.
    pub(crate) fn wide(&mut self) -> Result<Option<&'p [u8]>> {
        match self.next()?.1 {
            Value::Wide(start, end) => Ok(Some(&self.bytes[start..end])),
            _ => Ok(None),
        }
    }

    /// An integer; `None` for any other value.
    pub(crate) fn int(&mut self) -> Result<Option<i64>> {
        match self.next()?.1 {
            Value::Int(int) => Ok(Some(int)),
            _ => Ok(None),
        }
    }

    /// The entry `key` of a dictionary; `None` where it is missing, or not true or false.
    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        let (machine, value) = self.next()?;
        let Value::Dict(dict) = value else { return Ok(None) };
        for &(name, value) in &machine.dicts[dict] {
            if let (Value::Text(start, end), Value::Flag(flag)) = (name, value)
                && machine.text(start..end)? == key
            {
                return Ok(Some(flag));
            }
        }
        Ok(None)
    }

    /// A list of strings.
    ///
    /// # Errors
    ///
    /// `Checkpoint` for anything else.
    pub(crate) fn texts(&mut self) -> Result<Vec<String>> {
        let (machine, value) = self.next()?;
        let form = || damaged("the storages of the file are not listed");
        let Value::List(list) = value else { return Err(form()) };
        let texts = machine.lists[list].iter().map(|item| match *item {
            Value::Text(start, end) if end - start <= super::MAX_KEY => {
                machine.text(start..end).map(str::to_owned)
            }
            _ => Err(form()),
        });
        texts.collect()
    }

    /// The tensors by name of a dictionary.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a name or an instruction that is not among those read here, and for an
    /// entry that is no tensor; `Checkpoint` for a damaged pickle.
    pub(crate) fn state(&mut self) -> Result<Tensors> {
        let (machine, value) = self.next()?;
        let Value::Dict(dict) = value else {
            return Err(fail!(Unsupported, "it is not a dictionary of tensors (a state_dict)"));
        };
        let mut seen = HashSet::new();
        let entries = machine.dicts[dict].iter().map(|&(key, value)| {
            let Value::Text(start, end) = key else {
                return Err(fail!(Unsupported, "a key of its dictionary is not a string"));
            };
            let name = machine.text(start..end)?;
            if !seen.insert(name) {
                return Err(damaged("two tensors have one name"));
            }
            match value {
                Value::Tensor(i) => Ok((name.to_owned(), machine.tensors[i].clone())),
                _ => Err(fail!(
                    Unsupported,
                    "its entry {name:?} is not a tensor: save the state_dict alone",
                    name = quote(name)
                )),
            }
        });
        let entries: Result<_> = entries.collect();
        Ok((entries?, machine.storages))
    }
}
