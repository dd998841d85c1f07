//! A restricted reader of Python pickles: containers, numbers, strings and torch tensors.
//!
//! Nothing is executed: a pickle may name the few functions in [`Callee`] alone, and those are
//! understood here, not called. Every other name and every other instruction is an error. Values
//! live in arenas and refer to each other by number, so that neither their depth nor their sharing
//! costs stack, and memory is linear in the bytes read.
//!
//! Instructions: CPython `Lib/pickletools.py`; what torch writes: `torch/serialization.py`,
//! `torch/_utils.py` of 2.x.

mod callee;
mod objects;
mod read;
mod reader;

use std::collections::HashMap;

use super::tensor::TensorDtype;
use crate::error::{Result, fail};
use callee::{Callee, callee};

pub(crate) use reader::PickleReader;

/// A value on the pickle's stack; the numbers are places in the arenas of a [`Machine`].
#[derive(Debug, Clone, Copy)]
enum Value {
    Plain,
    Flag(bool),
    Int(i64),
    /// Where the bytes of a longer integer lie in the pickle.
    Wide(usize, usize),
    /// Where its bytes lie in the pickle.
    Text(usize, usize),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Callee(Callee),
    Storage(usize),
    Tensor(usize),
}

/// What a pickle can name many times over is bounded, so that memory stays linear in its bytes: the
/// axes of a tensor, and the bytes of a record's name.
const MAX_AXES: usize = 64;
const MAX_KEY: usize = 64;

/// A run of elements in a record of its own, or in a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Storage {
    /// The name of the record.
    pub(crate) key: String,
    pub(crate) dtype: TensorDtype,
    /// Bytes of an element.
    pub(crate) width: u64,
    /// Elements of the record.
    pub(crate) all: u64,
    /// Those before the part.
    pub(crate) first: u64,
    /// Those of the part.
    pub(crate) count: u64,
}

/// A tensor as a view of its storage, in elements.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) storage: Storage,
    pub(crate) offset: u64,
    pub(crate) shape: Vec<u64>,
    pub(crate) stride: Vec<u64>,
}

/// The stack machine of a pickle.
#[derive(Debug, Default)]
struct Machine<'p> {
    pickle: &'p [u8],
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    tuples: Vec<Vec<Value>>,
    lists: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    storages: Vec<Storage>,
    tensors: Vec<Tensor>,
    /// Entries of dictionaries that were made of lists.
    copied: usize,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Value> {
        loop {
            let begin = self.at;
            let code = self.byte()?;
            if code == b'.' {
                return self.pop();
            }
            self.step(code).map_err(|e| e.at(format_args!("byte {begin} of the pickle")))?;
        }
    }

    fn step(&mut self, code: u8) -> Result<()> {
        match code {
            // PROTO, FRAME: their arguments say nothing that is needed.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'N' => self.stack.push(Value::Plain),
            0x88 | 0x89 => self.stack.push(Value::Flag(code == 0x88)),
            b'G' => {
                self.take(8)?;
                self.stack.push(Value::Plain);
            }
            b'K' | b'M' | b'J' | 0x8a => self.integer(code)?,
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8, SHORT_BINSTRING, BINSTRING.
            0x8c | b'U' => self.string(1)?,
            b'X' | b'T' => self.string(4)?,
            0x8d => self.string(8)?,
            b')' => self.tuple(vec![]),
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let from = self.floor(count)?;
                let items = self.stack.split_off(from);
                self.tuple(items);
            }
            b't' => {
                let items = self.pop_mark()?;
                self.tuple(items);
            }
            b']' => {
                self.lists.push(vec![]);
                self.stack.push(Value::List(self.lists.len() - 1));
            }
            b'l' => {
                let items = self.pop_mark()?;
                self.lists.push(items);
                self.stack.push(Value::List(self.lists.len() - 1));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            b'}' => self.dict(vec![]),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set(&items)?;
            }
            b'q' | b'r' | 0x94 => self.put(code)?,
            b'h' | b'j' => {
                let key = self.number(if code == b'h' { 1 } else { 4 })? as u32;
                let value = self.memo.get(&key).copied();
                self.stack.push(
                    value.ok_or_else(|| damaged("it reads a memo entry that was not stored"))?,
                );
            }
            b'c' => self.global()?,
            0x93 => {
                let (Value::Text(c, d), Value::Text(a, b)) = (self.pop()?, self.pop()?) else {
                    return Err(damaged("a name is not a string"));
                };
                let callee = callee(self.text(a..b)?, self.text(c..d)?)?;
                self.stack.push(Value::Callee(callee));
            }
            b'Q' => self.persistent()?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            other => {
                return Err(fail!(
                    Unsupported,
                    "the instruction 0x{other:02x} is not needed for tensors and containers, and \
                     not supported"
                ));
            }
        }
        Ok(())
    }

    fn integer(&mut self, code: u8) -> Result<()> {
        let int = match code {
            b'K' => self.number(1)? as i64,
            b'M' => self.number(2)? as i64,
            b'J' => i64::from(self.number(4)? as u32 as i32),
            // LONG1: two's complement of as many bytes as it says.
            _ => {
                let count = usize::from(self.byte()?);
                let bytes = self.take(count)?;
                if bytes.len() > 8 {
                    self.stack.push(Value::Wide(self.at - count, self.at));
                    return Ok(());
                }
                let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
                let mut wide = [if negative { 0xff } else { 0 }; 8];
                wide[..bytes.len()].copy_from_slice(bytes);
                i64::from_le_bytes(wide)
            }
        };
        self.stack.push(Value::Int(int));
        Ok(())
    }

    fn string(&mut self, prefix: usize) -> Result<()> {
        let length = usize::try_from(self.number(prefix)?).map_err(|_| cut_short())?;
        let start = self.at;
        self.take(length)?;
        self.stack.push(Value::Text(start, self.at));
        Ok(())
    }

    fn put(&mut self, code: u8) -> Result<()> {
        let key = match code {
            b'q' => self.number(1)? as u32,
            b'r' => self.number(4)? as u32,
            _ => self.memo.len() as u32,
        };
        let top = *self.stack.last().ok_or_else(empty)?;
        self.memo.insert(key, top);
        Ok(())
    }

    /// GLOBAL: two lines, the module and the name.
    fn global(&mut self) -> Result<()> {
        let module = self.line()?;
        let name = self.line()?;
        let callee = callee(self.text(module)?, self.text(name)?)?;
        self.stack.push(Value::Callee(callee));
        Ok(())
    }

    fn tuple(&mut self, items: Vec<Value>) {
        self.tuples.push(items);
        self.stack.push(Value::Tuple(self.tuples.len() - 1));
    }

    fn dict(&mut self, items: Vec<(Value, Value)>) {
        self.dicts.push(items);
        self.stack.push(Value::Dict(self.dicts.len() - 1));
    }

    fn append(&mut self, items: Vec<Value>) -> Result<()> {
        match self.stack.last() {
            Some(&Value::List(list)) => self.lists[list].extend(items),
            _ => return Err(damaged("it appends to something that is not a list")),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Value]) -> Result<()> {
        match self.stack.last() {
            Some(&Value::Dict(dict)) if items.len().is_multiple_of(2) => {
                self.dicts[dict].extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => Err(damaged("it sets entries of something that is not a dictionary")),
        }
    }

    /// The height below the `count` topmost values, which lie above the last mark.
    fn floor(&self, count: usize) -> Result<usize> {
        let lowest = self.marks.last().copied().unwrap_or(0);
        self.stack.len().checked_sub(count).filter(|&f| f >= lowest).ok_or_else(empty)
    }

    fn pop(&mut self) -> Result<Value> {
        self.floor(1)?;
        self.stack.pop().ok_or_else(empty)
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(empty)?;
        Ok(self.stack.split_off(mark))
    }
}

fn damaged(what: &str) -> crate::Error {
    fail!(Checkpoint, "the pickle is damaged: {what}")
}

fn empty() -> crate::Error {
    damaged("a value is missing on its stack")
}

fn cut_short() -> crate::Error {
    damaged("it is truncated")
}
