// A time step of our problems as an action of Crocoddyl, and BoxFDDP on them.
//
// `value` and `slopes` are compiled functions of this library, so that no Python runs within a
// solve. Arrays are rows of doubles: x (T + 1, n_x), u (T, n_u); matrices are row by row.
#include <crocoddyl/core/action-base.hpp>
#include <crocoddyl/core/optctrl/shooting.hpp>
#include <crocoddyl/core/solvers/box-fddp.hpp>
#include <crocoddyl/core/states/euclidean.hpp>

#include <cstring>
#include <stdexcept>

using Value = double (*)(double *x, double *u, double *r, double *p, double *trim, double *h,
                         int64_t t);
using Slopes = double (*)(double *x, double *u, double *r, double *p, double *trim, double *h,
                          int64_t t, double *A, double *B, double *l_x, double *l_u, double *l_xx,
                          double *l_ux, double *l_uu);
using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct Shared {
  int64_t T, n_x, n_u;
  Value value;
  Slopes slopes;
  double *r, *p, *trim;
  std::vector<double> x, u, h;
  Rows A, B, l_xx, l_ux, l_uu;
  Eigen::VectorXd l_x, l_u;
};

class Stage : public crocoddyl::ActionModelAbstractTpl<double> {
 public:
  using Base = crocoddyl::ActionModelAbstractTpl<double>;
  using Data = std::shared_ptr<crocoddyl::ActionDataAbstractTpl<double>>;

  Stage(std::shared_ptr<crocoddyl::StateVector> state, std::shared_ptr<Shared> shared, int64_t t)
      : Base(state, shared->n_u), s(shared), t(t) {}

  void calc(const Data &data,
            const Eigen::Ref<const Eigen::VectorXd> &x,
            const Eigen::Ref<const Eigen::VectorXd> &u) override {
    Eigen::Map<Eigen::VectorXd>(&s->x[t * s->n_x], s->n_x) = x;
    Eigen::Map<Eigen::VectorXd>(&s->u[t * s->n_u], s->n_u) = u;
    data->cost = s->value(s->x.data(), s->u.data(), s->r, s->p, s->trim, s->h.data(), t);
    data->xnext = Eigen::Map<Eigen::VectorXd>(&s->x[(t + 1) * s->n_x], s->n_x);
  }

  void calc(const Data &data,
            const Eigen::Ref<const Eigen::VectorXd> &x) override {
    Eigen::Map<Eigen::VectorXd>(&s->x[t * s->n_x], s->n_x) = x;
    data->cost = s->value(s->x.data(), s->u.data(), s->r, s->p, s->trim, s->h.data(), t);
  }

  void calcDiff(const Data &data,
                const Eigen::Ref<const Eigen::VectorXd> &x,
                const Eigen::Ref<const Eigen::VectorXd> &u) override {
    Eigen::Map<Eigen::VectorXd>(&s->u[t * s->n_u], s->n_u) = u;
    expand(x);
    data->Fx = s->A;
    data->Fu = s->B;
    data->Lx = s->l_x;
    data->Lu = s->l_u;
    data->Lxx = s->l_xx;
    data->Lxu = s->l_ux.transpose();
    data->Luu = s->l_uu;
  }

  void calcDiff(const Data &data,
                const Eigen::Ref<const Eigen::VectorXd> &x) override {
    expand(x);
    data->Lx = s->l_x;
    data->Lxx = s->l_xx;
  }

  std::shared_ptr<crocoddyl::ActionModelBase> cloneAsDouble() const override { throw unasked(); }
  std::shared_ptr<crocoddyl::ActionModelBase> cloneAsFloat() const override { throw unasked(); }

 private:
  static std::runtime_error unasked() { return std::runtime_error("a stage is of doubles"); }

  void expand(const Eigen::Ref<const Eigen::VectorXd> &x) {
    Eigen::Map<Eigen::VectorXd>(&s->x[t * s->n_x], s->n_x) = x;
    s->slopes(s->x.data(), s->u.data(), s->r, s->p, s->trim, s->h.data(), t, s->A.data(),
              s->B.data(), s->l_x.data(), s->l_u.data(), s->l_xx.data(), s->l_ux.data(),
              s->l_uu.data());
  }

  std::shared_ptr<Shared> s;
  int64_t t;
};

struct Solver {
  std::shared_ptr<Shared> shared;
  std::shared_ptr<crocoddyl::ShootingProblem> problem;
  std::shared_ptr<crocoddyl::SolverBoxFDDP> fddp;
};

extern "C" void *make(int64_t T, int64_t n_x, int64_t n_u, int64_t n_h, Value value, Slopes slopes,
                      double *r, double *p, double *trim, double *u_min, double *u_max) {
  auto s = std::make_shared<Shared>(Shared{T, n_x, n_u, value, slopes, r, p, trim});
  s->x.assign((T + 1) * n_x, 0.0);
  s->u.assign(T * n_u, 0.0);
  s->h.assign((T + 1) * std::max<int64_t>(n_h, 1), 0.0);
  s->A.setZero(n_x, n_x), s->B.setZero(n_x, n_u), s->l_xx.setZero(n_x, n_x);
  s->l_ux.setZero(n_u, n_x), s->l_uu.setZero(n_u, n_u), s->l_x.setZero(n_x), s->l_u.setZero(n_u);
  auto state = std::make_shared<crocoddyl::StateVector>(n_x);
  std::vector<std::shared_ptr<crocoddyl::ActionModelAbstract>> stages;
  for (int64_t t = 0; t <= T; ++t) {
    auto stage = std::make_shared<Stage>(state, s, t);
    stage->set_u_lb(Eigen::Map<Eigen::VectorXd>(u_min, n_u));
    stage->set_u_ub(Eigen::Map<Eigen::VectorXd>(u_max, n_u));
    stages.push_back(stage);
  }
  auto end = stages.back();
  stages.pop_back();
  auto problem =
      std::make_shared<crocoddyl::ShootingProblem>(Eigen::VectorXd::Zero(n_x), stages, end);
  problem->set_nthreads(1);
  return new Solver{s, problem, std::make_shared<crocoddyl::SolverBoxFDDP>(problem)};
}

extern "C" int64_t solve(void *handle, double *xs, double *us, int64_t iterations, double stop) {
  auto *solver = static_cast<Solver *>(handle);
  const auto &s = *solver->shared;
  std::vector<Eigen::VectorXd> x(s.T + 1), u(s.T);
  for (int64_t t = 0; t <= s.T; ++t) x[t] = Eigen::Map<Eigen::VectorXd>(xs + t * s.n_x, s.n_x);
  for (int64_t t = 0; t < s.T; ++t) u[t] = Eigen::Map<Eigen::VectorXd>(us + t * s.n_u, s.n_u);
  solver->problem->set_x0(x[0]);
  solver->fddp->set_th_stop(stop);
  solver->fddp->solve(x, u, iterations, false);
  for (int64_t t = 0; t < s.T; ++t)
    Eigen::Map<Eigen::VectorXd>(us + t * s.n_u, s.n_u) = solver->fddp->get_us()[t];
  return solver->fddp->get_iter();
}

extern "C" void forget(void *handle) { delete static_cast<Solver *>(handle); }
