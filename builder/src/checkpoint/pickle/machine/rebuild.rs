//! What tensors are made of: the globals that are known, and what a call of each makes.

use super::{Global, Id, Machine, Storage, Tensor, Value, get};
use crate::checkpoint::pickle::{PickleError, RANK_MAX, shown};
use safetensors::Dtype;

const ORDERED_DICT: &str = "collections.OrderedDict";
const REBUILD_TENSOR: &str = "torch._utils._rebuild_tensor_v2";
const REBUILD_PARAMETER: &str = "torch._utils._rebuild_parameter";

impl<'a> Machine<'a> {
    pub(super) fn global(&mut self) -> Result<(), PickleError> {
        let (module, name) = (self.cursor.line(), self.cursor.line());
        let module = self.utf8(self.read(module)?)?;
        let name = self.utf8(self.read(name)?)?;
        self.push_global(module, name)
    }

    pub(super) fn global_from_stack(&mut self) -> Result<(), PickleError> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (get(&self.values, module), get(&self.values, name)) {
            (Value::Text(module), Value::Text(name)) => self.push_global(module, name),
            _ => Err(self.malformed("a global whose name is no text")),
        }
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), PickleError> {
        let full = format!("{module}.{name}");
        let global = match &*full {
            ORDERED_DICT => Global::OrderedDict,
            REBUILD_TENSOR => Global::RebuildTensor,
            REBUILD_PARAMETER => Global::RebuildParameter,
            class => Global::Storage(dtype(class).ok_or_else(|| self.unknown(class))?),
        };
        self.push(Value::Global(global))
    }

    fn unknown(&self, global: &str) -> PickleError {
        let (at, name) = (self.at, shown(global));
        if global.starts_with("torch.") && global.ends_with("Storage") {
            PickleError::Storage { at, name }
        } else {
            PickleError::Global { at, name }
        }
    }

    /// A persistent id, which is a storage.
    pub(super) fn storage(&mut self) -> Result<(), PickleError> {
        const EXPECTED: &str = "('storage', type, key, location, length), and None before 1.6";
        let id = self.pop()?;
        let storage = self.storage_of(id);
        let storage = storage.ok_or_else(|| self.other_arguments("persistent_load", EXPECTED))?;
        self.push(Value::Storage(storage))
    }

    fn storage_of(&self, id: Id) -> Option<Storage<'a>> {
        let (kind, dtype, key, location, count) = match *self.tuple_of(id)? {
            [kind, dtype, key, location, count] => (kind, dtype, key, location, count),
            // Before 1.6 a storage could be part of another.
            [kind, dtype, key, location, count, part]
                if matches!(get(&self.values, part), Value::Plain) =>
            {
                (kind, dtype, key, location, count)
            }
            _ => return None,
        };
        let values = [kind, dtype, key, location].map(|id| get(&self.values, id));
        let [
            Value::Text("storage"),
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            Value::Text(_),
        ] = values
        else {
            return None;
        };
        Some(Storage {
            dtype: *dtype,
            key,
            count: self.size_of(count)?,
        })
    }

    pub(super) fn reduce(&mut self) -> Result<(), PickleError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        match get(&self.values, function) {
            Value::Global(Global::OrderedDict) => self.ordered_dict(arguments),
            Value::Global(Global::RebuildTensor) => self.tensor(arguments),
            Value::Global(Global::RebuildParameter) => self.parameter(arguments),
            _ => Err(self.malformed("a call of something that is no function")),
        }
    }

    fn ordered_dict(&mut self, arguments: Id) -> Result<(), PickleError> {
        match self.tuple_of(arguments) {
            Some([]) => self.dict(true),
            _ => Err(self.other_arguments(ORDERED_DICT, "()")),
        }
    }

    fn tensor(&mut self, arguments: Id) -> Result<(), PickleError> {
        const EXPECTED: &str = "(storage, offset, shape, strides, requires_grad, hooks)";
        let tensor = self.tensor_of(arguments);
        let tensor = tensor.ok_or_else(|| self.other_arguments(REBUILD_TENSOR, EXPECTED))?;
        self.push(Value::Tensor(tensor))
    }

    fn parameter(&mut self, arguments: Id) -> Result<(), PickleError> {
        const EXPECTED: &str = "(tensor, requires_grad, hooks)";
        let tensor = self.parameter_of(arguments);
        let tensor = tensor.ok_or_else(|| self.other_arguments(REBUILD_PARAMETER, EXPECTED))?;
        self.stack.push(tensor);
        Ok(())
    }

    fn other_arguments(&self, function: &'static str, expected: &'static str) -> PickleError {
        PickleError::Arguments {
            at: self.at,
            function,
            expected,
        }
    }

    fn tensor_of(&self, arguments: Id) -> Option<Tensor<'a>> {
        let [
            storage,
            offset,
            shape,
            strides,
            requires_grad,
            hooks,
            metadata @ ..,
        ] = self.tuple_of(arguments)?
        else {
            return None;
        };
        let Value::Storage(storage) = get(&self.values, *storage) else {
            return None;
        };
        let shape = self.sizes_of(*shape)?;
        let strides = self.sizes_of(*strides)?;
        // Metadata says that values are negated or conjugated: there is none of others.
        let is_usual = shape.len() == strides.len()
            && matches!(get(&self.values, *requires_grad), Value::Bool(_))
            && self.is_empty_dict(*hooks)
            && metadata.len() < 2
            && metadata.iter().all(|id| self.is_empty_dict(*id));
        let tensor = Tensor {
            storage: *storage,
            offset: self.size_of(*offset)?,
            dims: shape.into_iter().zip(strides).collect(),
        };
        is_usual.then_some(tensor)
    }

    fn parameter_of(&self, arguments: Id) -> Option<Id> {
        let [tensor, requires_grad, hooks] = *self.tuple_of(arguments)? else {
            return None;
        };
        let is_usual = matches!(get(&self.values, tensor), Value::Tensor(_))
            && matches!(get(&self.values, requires_grad), Value::Bool(_))
            && self.is_empty_dict(hooks);
        is_usual.then_some(tensor)
    }

    /// The attributes of a state dict are the versions of its modules, which are not needed.
    pub(super) fn build(&mut self) -> Result<(), PickleError> {
        let state = self.pop()?;
        let is_dict = matches!(get(&self.values, state), Value::Dict { .. });
        match self.top()? {
            Value::Dict {
                is_ordered: true, ..
            } if is_dict => Ok(()),
            _ => Err(self.malformed("attributes of something that is no OrderedDict")),
        }
    }

    fn tuple_of(&self, id: Id) -> Option<&[Id]> {
        match get(&self.values, id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    fn sizes_of(&self, id: Id) -> Option<Vec<usize>> {
        let items = self.tuple_of(id)?;
        let is_short = items.len() <= RANK_MAX;
        let sizes = items.iter().take(RANK_MAX).map(|id| self.size_of(*id));
        sizes.collect::<Option<_>>().filter(|_| is_short)
    }

    fn size_of(&self, id: Id) -> Option<usize> {
        match get(&self.values, id) {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }

    fn is_empty_dict(&self, id: Id) -> bool {
        matches!(get(&self.values, id), Value::Dict { items, .. } if items.is_empty())
    }
}

/// The type of a storage by its class.
fn dtype(class: &str) -> Option<Dtype> {
    match class {
        "torch.FloatStorage" => Some(Dtype::F32),
        "torch.HalfStorage" => Some(Dtype::F16),
        "torch.BFloat16Storage" => Some(Dtype::BF16),
        "torch.DoubleStorage" => Some(Dtype::F64),
        "torch.LongStorage" => Some(Dtype::I64),
        "torch.IntStorage" => Some(Dtype::I32),
        "torch.ShortStorage" => Some(Dtype::I16),
        "torch.CharStorage" => Some(Dtype::I8),
        "torch.ByteStorage" => Some(Dtype::U8),
        "torch.BoolStorage" => Some(Dtype::BOOL),
        _ => None,
    }
}
