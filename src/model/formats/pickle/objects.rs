//! The instructions that make storages and tensors of what is on the stack.

use super::callee::{Callee, STORAGES};
use super::{MAX_AXES, MAX_KEY, Machine, Storage, Tensor, Value, damaged};
use crate::error::{Result, fail};
use crate::model::formats::tensor::TensorDtype;

impl Machine<'_> {
    /// BINPERSID: `('storage', torch.FloatStorage, key, device, elements)`; before torch 1.6 also
    /// None, or `(key, first, elements)` of a part of the storage.
    pub(super) fn persistent(&mut self) -> Result<()> {
        let form = || damaged("a storage does not say its type, its record and its size");
        let Value::Tuple(id) = self.pop()? else { return Err(form()) };
        let &[
            Value::Text(a, b),
            Value::Callee(Callee::Storage(kind)),
            Value::Text(c, d),
            _,
            Value::Int(all),
            ref part @ ..,
        ] = &self.tuples[id][..]
        else {
            return Err(form());
        };
        if self.text(a..b)? != "storage" || d - c > MAX_KEY {
            return Err(form());
        }
        let (first, count) = match *part {
            [] | [Value::Plain] => (0, all),
            [Value::Tuple(part)] => match self.tuples[part][..] {
                [_, Value::Int(first), Value::Int(count)] => (first, count),
                _ => return Err(form()),
            },
            _ => return Err(form()),
        };
        let size = |n: i64| u64::try_from(n).map_err(|_| form());
        let (all, first, count) = (size(all)?, size(first)?, size(count)?);
        if first.checked_add(count).is_none_or(|end| end > all) {
            return Err(form());
        }
        let (_, dtype, width) = STORAGES[kind];
        let key = self.text(c..d)?.to_owned();
        let dtype = TensorDtype::from_name(dtype);
        self.storages.push(Storage { key, dtype, width, all, first, count });
        self.stack.push(Value::Storage(self.storages.len() - 1));
        Ok(())
    }

    pub(super) fn reduce(&mut self) -> Result<()> {
        let (Value::Tuple(args), Value::Callee(callee)) = (self.pop()?, self.pop()?) else {
            return Err(damaged("what is called is not a function of arguments"));
        };
        match (callee, &self.tuples[args][..]) {
            (Callee::OrderedDict, []) => self.dict(vec![]),
            // As Python 2 wrote it.
            (Callee::OrderedDict, &[Value::List(list)]) => {
                let pairs = self.pairs(list)?;
                // One list can be called for again and again.
                self.copied += pairs.len();
                if self.copied > self.pickle.len() {
                    return Err(damaged("it copies a list many times"));
                }
                self.dict(pairs);
            }
            (Callee::Size, &[size @ Value::Tuple(_)]) => self.stack.push(size),
            // A tensor with attributes, which say nothing here.
            (
                Callee::OfType,
                &[
                    Value::Callee(made @ (Callee::Tensor | Callee::Parameter)),
                    Value::Callee(Callee::Class),
                    Value::Tuple(args),
                    ..,
                ],
            ) => self.tensor(made, args)?,
            _ => self.tensor(callee, args)?,
        }
        Ok(())
    }

    /// The tensor that `callee` makes of the tuple `args`.
    fn tensor(&mut self, callee: Callee, args: usize) -> Result<()> {
        match (callee, &self.tuples[args][..]) {
            (
                Callee::Tensor,
                &[
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(shape),
                    Value::Tuple(stride),
                    ..,
                ],
            ) => {
                let offset = u64::try_from(offset)
                    .map_err(|_| damaged("a tensor begins before its storage"))?;
                let (shape, stride) = (self.sizes(shape)?, self.sizes(stride)?);
                let storage = self.storages[storage].clone();
                self.tensors.push(Tensor { storage, offset, shape, stride });
                self.stack.push(Value::Tensor(self.tensors.len() - 1));
            }
            (Callee::Parameter, &[Value::Tensor(tensor), ..]) => {
                self.stack.push(Value::Tensor(tensor));
            }
            _ => return Err(damaged("a call has the wrong arguments")),
        }
        Ok(())
    }

    /// The items of a list, each a key and its value.
    fn pairs(&self, list: usize) -> Result<Vec<(Value, Value)>> {
        let pair = |item: &Value| match *item {
            Value::List(i) => self.lists[i][..].try_into().ok(),
            Value::Tuple(i) => self.tuples[i][..].try_into().ok(),
            _ => None,
        };
        let pairs = self.lists[list].iter().map(|item| pair(item).map(|[k, v]: [_; 2]| (k, v)));
        pairs
            .collect::<Option<_>>()
            .ok_or_else(|| damaged("the entries of a dictionary are not pairs"))
    }

    /// BUILD: the attributes of a dictionary (`_metadata` of a state_dict), which say nothing here.
    pub(super) fn build(&mut self) -> Result<()> {
        match (self.pop()?, self.stack.last()) {
            (Value::Dict(_), Some(Value::Dict(_))) => Ok(()),
            _ => Err(fail!(Unsupported, "it sets the state of an object, which is not supported")),
        }
    }

    fn sizes(&self, tuple: usize) -> Result<Vec<u64>> {
        let size = |value: &Value| match value {
            Value::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        };
        let items = Some(&self.tuples[tuple]).filter(|items| items.len() <= MAX_AXES);
        let sizes: Option<_> = items.and_then(|items| items.iter().map(size).collect());
        sizes.ok_or_else(|| damaged("a tensor's shape is not a list of sizes"))
    }
}
