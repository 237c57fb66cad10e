package falsim

// accountPath is where the REST host tells of the account of the key, which fal
// does not document.
const accountPath = "/billing/user_details"

// account is what fal tells of the account.
func (s *Server) account() answer {
	s.mu.Lock()
	locked := s.plan.Locked
	s.mu.Unlock()
	var reason *string
	if locked {
		reason = new("Exhausted balance")
	}
	return jsonAnswer(200, struct {
		UserID   string   `json:"user_id"`
		Soft     *float64 `json:"soft_monthly_budget"`
		Hard     *float64 `json:"hard_monthly_budget"`
		Reason   *string  `json:"lock_reason"`
		Paying   bool     `json:"is_paying"`
		IsLocked bool     `json:"is_locked"`
	}{UserID: "simulated", Reason: reason, Paying: true, IsLocked: locked})
}
