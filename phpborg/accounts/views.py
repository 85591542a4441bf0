"""Signing in and out, the password, a person's preferences."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from phpborg.accounts.forms import PreferencesForm, SignInForm
from phpborg.accounts.models import User
from phpborg.accounts.rights import Right, permission

sign_in = auth_views.LoginView.as_view(authentication_form=SignInForm, redirect_authenticated_user=True)
sign_out = auth_views.LogoutView.as_view()
password = auth_views.PasswordChangeView.as_view()
password_done = auth_views.PasswordChangeDoneView.as_view()


@require_http_methods(["GET", "POST"])
@permission(Right.VIEW)
def preferences(request: HttpRequest) -> HttpResponse:
    """Language, time zone, theme, mail address."""
    assert isinstance(request.user, User)
    form = PreferencesForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        user = form.save()
        with translation.override(user.language):
            messages.success(request, _("Your preferences are saved."))
        return redirect("preferences")
    return render(request, "accounts/preferences.html", {"form": form}, status=422 if form.errors else 200)
