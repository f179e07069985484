//! `.data.meta.env = "prod"` where there is no `meta`: jq makes the objects and arrays on the way of an assignment, jaq does
//! not. Before each step on the left of an assignment we put `__fill`, which replaces null with an empty container.

use jaq_core::box_iter::box_once;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Term};
use jaq_core::native::{Fun, bome, v};
use jaq_core::path::{Part, Path};
use jaq_core::{DataT, Native};
use jaq_json::Val;
use jaq_std::ValT as _;

const FILL: &str = "__fill";

/// An array is not made longer than this by an assignment far behind its end.
const LENGTH_MAX: usize = 100_000;

/// The filter that is put before the steps: run, it gives its input or an empty container for null.
pub fn fill<D>() -> Fun<D>
where
    D: for<'a> DataT<V<'a> = Val>,
{
    let native = Native::new(|mut cv| {
        let key = cv.0.pop_var();
        bome(Ok(filled(cv.1, &key)))
    });
    let native = native.with_paths(|mut cv| {
        let key = cv.0.pop_var();
        let (value, path) = cv.1;
        box_once(Ok((filled(value, &key), path)))
    });
    let native = native.with_update(|mut cv, update| {
        let key = cv.0.pop_var();
        update(filled(cv.1, &key))
    });
    (FILL, v(1), native)
}

/// The value, with room for what the key names.
fn filled(value: Val, key: &Val) -> Val {
    let position = key.as_isize().and_then(|index| usize::try_from(index).ok()).filter(|index| *index < LENGTH_MAX);
    match (value, position) {
        (Val::Null, None) if key.is_utf8_str() => Val::obj(jaq_json::Map::default()),
        (Val::Null, Some(index)) => (0..=index).map(|_| Val::Null).collect(),
        (Val::Arr(mut items), Some(index)) if items.len() <= index => {
            jaq_json::Rc::make_mut(&mut items).resize(index + 1, Val::Null);
            Val::Arr(items)
        }
        (value, _) => value,
    }
}

/// The filter with all its assignments able to make paths.
pub fn with_path_creation(term: Term<&str>) -> Term<&str> {
    let inner = |term: Box<Term<_>>| Box::new(with_path_creation(*term));
    let optional = |term: Option<Box<Term<_>>>| term.map(inner);
    match term {
        Term::BinOp(left, operator, right) => {
            let assigns = matches!(operator, BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt);
            let left = with_path_creation(*left);
            Term::BinOp(Box::new(if assigns { target(left) } else { left }), operator, inner(right))
        }
        Term::Str(format, parts) => {
            let part = |part| match part {
                StrPart::Term(term) => StrPart::Term(with_path_creation(term)),
                other => other,
            };
            Term::Str(format, parts.into_iter().map(part).collect())
        }
        Term::Arr(items) => Term::Arr(optional(items)),
        Term::Obj(members) => {
            let member = |(key, value): (_, Option<_>)| (with_path_creation(key), value.map(with_path_creation));
            Term::Obj(members.into_iter().map(member).collect())
        }
        Term::Neg(term) => Term::Neg(inner(term)),
        Term::Label(name, term) => Term::Label(name, inner(term)),
        Term::Fold(name, items, pattern, terms) => {
            Term::Fold(name, inner(items), pattern, terms.into_iter().map(with_path_creation).collect())
        }
        Term::TryCatch(term, catch) => Term::TryCatch(inner(term), optional(catch)),
        Term::IfThenElse(branches, otherwise) => {
            let branch = |(condition, then)| (with_path_creation(condition), with_path_creation(then));
            Term::IfThenElse(branches.into_iter().map(branch).collect(), optional(otherwise))
        }
        Term::Def(definitions, term) => {
            let definition = |def: Def<_>| Def { body: with_path_creation(def.body), ..def };
            Term::Def(definitions.into_iter().map(definition).collect(), inner(term))
        }
        Term::Call(name, arguments) => Term::Call(name, arguments.into_iter().map(with_path_creation).collect()),
        Term::Path(head, path) => Term::Path(inner(head), path),
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => term,
    }
}

/// The left side of an assignment.
fn target(term: Term<&str>) -> Term<&str> {
    match term {
        Term::Path(head, Path(parts)) => parts.into_iter().fold(target(*head), |head, (part, optional)| {
            let head = match &part {
                Part::Index(key) if is_constant(key) => {
                    let fill = Term::Call(FILL, vec![key.clone()]);
                    match head {
                        Term::Id => fill,
                        head => Term::BinOp(Box::new(head), BinaryOp::Pipe(None), Box::new(fill)),
                    }
                }
                Part::Index(_) | Part::Range(..) => head,
            };
            Term::Path(Box::new(head), Path(vec![(part, optional)]))
        }),
        Term::BinOp(left, operator @ (BinaryOp::Pipe(None) | BinaryOp::Comma), right) => {
            Term::BinOp(Box::new(target(*left)), operator, Box::new(target(*right)))
        }
        Term::BinOp(left, operator @ BinaryOp::Pipe(Some(_)), right) => Term::BinOp(left, operator, Box::new(target(*right))),
        term => term,
    }
}

/// Whether it is the same for every input.
fn is_constant(key: &Term<&str>) -> bool {
    match key {
        Term::Str(None, parts) => parts.iter().all(|part| !matches!(part, StrPart::Term(_))),
        Term::Num(_) | Term::Var(_) => true,
        _ => false,
    }
}
