#pragma once

#include <Halide.h>

namespace aft {

/// Gives products in bfloat16 to the matrix unit of a CPU (AMX): an instruction multiplies up to 16 rows of 32 steps by
/// 16 lanes, and adds the products to 16 x 16 sums in float32. Halide 21 makes that instruction for one tile of sums at
/// a time, and only if all indices are vectors in one form. This lowering pass makes it from plain loops,
///     for block: for row: for lane: for step: sum[row, lane] += left[row, step] right[step, lane]
/// the outer one of which has the name `loop`. The sums, of one right operand or of two, begin with 0 and stay in the
/// unit until the loop ends. In memory, the steps of a row of left must be side by side, and the steps of right two by
/// two, lane after lane.
class MatrixUnit : public Halide::Internal::IRMutator {
public:
    static constexpr const char *loop = "matrix_steps";
    static constexpr int lanes = 16, most_rows = 16, most_steps = 32;  // of a tile

    using Halide::Internal::IRMutator::mutate;

private:
    using Expr = Halide::Expr;
    using Stmt = Halide::Internal::Stmt;
    using Block = Halide::Internal::Block;
    using Call = Halide::Internal::Call;
    using For = Halide::Internal::For;
    using LetStmt = Halide::Internal::LetStmt;
    using Load = Halide::Internal::Load;
    using Store = Halide::Internal::Store;
    using Values = std::map<std::string, Expr>;
    using Halide::Internal::IRMutator::visit;

    enum Dimension { row, lane, step };
    /// The loops and the sums within the outer loop.
    struct Product {
        struct Loop {
            std::string name;
            int extent;
        };
        std::vector<Loop> loops;  // by Dimension
        std::vector<const Store *> stores;
        Values lets;
        int extent(Dimension d) const {
            return loops[d].extent;
        }
    };
    /// A tile of memory: its first element, and the distance of its rows.
    struct Tile {
        std::string name;
        Expr first, stride;
    };

    // ---- finding products
    const For *begins_with_zeros = nullptr;

    static const For *as_product(const Stmt &s) {
        if (const auto *let = s.as<LetStmt>()) {
            return as_product(let->body);
        }
        const auto *op = s.as<For>();
        return op && Halide::Internal::ends_with(op->name, std::string(".") + loop) ? op : nullptr;
    }
    static bool is_zero_of(const Product &product, const Stmt &s) {
        const auto *zero = s.as<Store>();
        return zero && Halide::Internal::is_const_zero(zero->value) &&
               std::any_of(product.stores.begin(), product.stores.end(),
                           [&](const Store *sum) { return sum->name == zero->name; });
    }
    static void flatten(const Stmt &s, std::vector<Stmt> &all) {
        if (const auto *block = s.as<Block>()) {
            flatten(block->first, all);
            flatten(block->rest, all);
        } else {
            all.push_back(s);
        }
    }
    /// The zeros before a product are those of its sums, for which the unit has an instruction.
    Stmt visit(const Block *op) override {
        std::vector<Stmt> all, kept;
        flatten(op, all);
        for (const Stmt &each : all) {
            if (const For *sums = as_product(each)) {
                const Product product = read(sums);
                const size_t before = kept.size();
                while (!kept.empty() && is_zero_of(product, kept.back())) {
                    kept.pop_back();
                }
                begins_with_zeros = kept.size() < before ? sums : nullptr;
            }
            kept.push_back(mutate(each));
        }
        return Block::make(kept);
    }
    Stmt visit(const For *op) override {
        if (!as_product(op)) {
            return IRMutator::visit(op);
        }
        _halide_user_assert(op == begins_with_zeros) << "the sums of " << op->name << " don't begin with 0\n";
        return in_tiles(op, read(op));
    }
    static Product read(const For *op) {
        Product product;
        read(op->body, product);
        const bool is_whole = product.loops.size() == 3 && !product.stores.empty() &&
                              product.extent(row) <= most_rows && product.extent(lane) % lanes == 0 &&
                              product.extent(step) <= most_steps && product.extent(step) % 2 == 0;
        _halide_user_assert(is_whole) << op->name << " isn't around loops over rows, lanes and steps of whole tiles\n";
        return product;
    }
    static void read(const Stmt &s, Product &product) {
        if (const auto *let = s.as<LetStmt>()) {
            product.lets[let->name] = substitute(product.lets, let->value);
            read(let->body, product);
        } else if (const auto *block = s.as<Block>()) {
            read(block->first, product);
            read(block->rest, product);
        } else if (const auto *inner = s.as<For>()) {
            const auto extent = Halide::Internal::as_const_int(inner->extent);
            _halide_user_assert(extent && Halide::Internal::is_const_zero(inner->min))
                << inner->name << " doesn't run from 0 to a constant\n";
            product.loops.push_back({inner->name, static_cast<int>(*extent)});
            read(inner->body, product);
        } else {
            const auto *store = s.as<Store>();
            _halide_user_assert(store) << "a product has more than sums:\n" << s << "\n";
            product.stores.push_back(store);
        }
    }

    // ---- operands
    struct Operands {
        Tile left, right, sums;
    };
    static Operands operands(const Product &product, const Store *store) {
        using Halide::Internal::Add;
        using Halide::Internal::Mul;
        const Expr value = substitute(product.lets, store->value);
        const auto *add = value.as<Add>();
        const auto *mul = !add ? nullptr : add->a.as<Mul>() ? add->a.as<Mul>() : add->b.as<Mul>();
        const auto *sum = !add ? nullptr : add->a.as<Load>() ? add->a.as<Load>() : add->b.as<Load>();
        const Load *left = mul ? bfloat16(mul->a) : nullptr, *right = mul ? bfloat16(mul->b) : nullptr;
        _halide_user_assert(left && right && sum && sum->name == store->name)
            << "not a sum of products in bfloat16: " << value << "\n";
        if (expr_uses_var(right->index, product.loops[row].name)) {
            std::swap(left, right);
        }
        return {tile(product, left->name, left->index, row, step), tile(product, right->name, right->index, step, lane),
                tile(product, store->name, substitute(product.lets, store->index), row, lane)};
    }
    /// The load of a factor (forms/bfloat16.h).
    static const Load *bfloat16(const Expr &factor) {
        const auto *widened = factor.as<Halide::Internal::Cast>();
        const auto *bits = widened ? widened->value.as<Halide::Internal::Reinterpret>() : nullptr;
        return bits ? bits->value.as<Load>() : nullptr;
    }
    /// Rows of a tile are rows, or pairs of steps.
    static Tile tile(const Product &product, const std::string &name, const Expr &index, Dimension outer,
                     Dimension inner) {
        using namespace Halide::Internal;
        const auto at = [&](int o, int i) {
            Values values;
            for (const Dimension d : {row, lane, step}) {
                values[product.loops[d].name] = d == outer ? o : d == inner ? i : 0;
            }
            return simplify(substitute(values, index));
        };
        const bool pairs = outer == step;
        const Expr first = at(0, 0), stride = simplify(at(pairs ? 2 : 1, 0) - first);
        for (int o = 0; o < product.extent(outer); ++o) {
            for (int i = 0; i < product.extent(inner); ++i) {
                const Expr expected = pairs ? stride * (o / 2) + 2 * i + o % 2 : stride * o + i;
                _halide_user_assert(can_prove(at(o, i) - first == expected))
                    << name << " doesn't lie as the matrix unit needs it: " << index << "\n";
            }
        }
        return {name, first, stride};
    }

    // ---- instructions
    static constexpr int elements = 256;  // of float32, in a register of the unit
    static constexpr int row_bytes = 4 * lanes;

    static Expr intrinsic(const Halide::Type &type, const char *name, const std::vector<Expr> &args) {
        return Call::make(type, name, args, Call::Intrinsic);
    }
    static Expr memory(const Tile &tile) {
        return Halide::Internal::Variable::make(Halide::Handle(), tile.name);
    }
    static Halide::Type operand_type() {
        return Halide::BFloat(16, 2 * elements);
    }
    static Expr load(const Tile &tile, const Expr &first, int rows, int bytes) {
        return intrinsic(operand_type(), "tile_load", {rows, bytes, memory(tile), first * 2, tile.stride * 2});
    }
    /// A register that holds sums.
    struct Sums {
        std::string name;
        static Halide::Type type() {
            return Halide::Float(32, elements);
        }
        static Expr all() {
            return Halide::Internal::Ramp::make(0, 1, elements);
        }
        Stmt hold(const Expr &value) const {
            return Store::make(name, value, all(), {}, Halide::Internal::const_true(elements), {});
        }
        Expr held() const {
            return Load::make(type(), name, all(), {}, {}, Halide::Internal::const_true(elements), {});
        }
    };
    static Stmt in_tiles(const For *op, const Product &product) {
        using namespace Halide::Internal;
        const int rows = product.extent(row), steps = product.extent(step);
        std::vector<Operands> all;
        for (const Store *store : product.stores) {
            all.push_back(operands(product, store));
        }
        const Tile &left = all.front().left;
        const Expr left_tile = Variable::make(operand_type(), unique_name("left_tile"));
        const Expr zero =
            intrinsic(Sums::type(), "tile_zero", {Halide::cast<int16_t>(rows), Halide::cast<int16_t>(row_bytes)});
        std::vector<Sums> registers;
        std::vector<Stmt> before, inside, after;
        for (const auto &[own_left, right, to] : all) {
            _halide_user_assert(own_left.name == left.name && equal(own_left.first, left.first))
                << "products of one loop have different left operands\n";
            for (int first = 0; first < product.extent(lane); first += lanes) {
                const Sums sums{unique_name(to.name + ".tile")};
                registers.push_back(sums);
                before.push_back(sums.hold(zero));
                inside.push_back(sums.hold(intrinsic(Sums::type(), "tile_matmul",
                                                     {rows, row_bytes, steps, sums.held(), left_tile,
                                                      load(right, right.first + 2 * first, steps / 2, row_bytes)})));
                after.push_back(Evaluate::make(
                    intrinsic(Halide::Int(32), "tile_store",
                              {rows, row_bytes, memory(to), (to.first + first) * 4, to.stride * 4, sums.held()})));
            }
        }
        const Stmt body =
            LetStmt::make(left_tile.as<Variable>()->name, load(left, left.first, rows, 2 * steps), Block::make(inside));
        Stmt s = Block::make(
            {Block::make(before),
             For::make(op->name, op->min, op->extent, op->for_type, op->partition_policy, op->device_api, body),
             Block::make(after)});
        for (const Sums &sums : registers) {
            s = Allocate::make(sums.name, Sums::type(), Halide::MemoryType::AMXTile, {1}, const_true(), s);
        }
        return s;
    }
};

}  // namespace aft
