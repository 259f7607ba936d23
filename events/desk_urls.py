"""Addresses of a centre's desk."""

from django.urls import path

from events import desk_views as views

urlpatterns = [
    path("desk/", views.desks, name="desks"),
    path("desk/<slug:slug>/", views.desk, name="desk"),
    path("desk/<slug:slug>/people/", views.people, name="desk_people"),
    path("desk/<slug:slug>/people.csv", views.people_csv, name="desk_people_csv"),
    path("desk/<slug:slug>/people/<id:pk>/", views.person, name="desk_person"),
    path("desk/<slug:slug>/people/<id:pk>/host/", views.person_host, name="desk_person_host"),
    path("desk/<slug:slug>/people/<id:pk>/address/", views.person_address, name="desk_person_address"),
    path("desk/<slug:slug>/tickets/<id:pk>/", views.ticket_again, name="desk_ticket"),
    path("desk/<slug:slug>/events/", views.events, name="desk_events"),
    path("desk/<slug:slug>/events.csv", views.events_csv, name="desk_events_csv"),
    path("desk/<slug:slug>/calendars/", views.calendars, name="desk_calendars"),
    path("desk/<slug:slug>/calendars/<id:pk>/", views.calendar, name="desk_calendar"),
    path("desk/<slug:slug>/roles/", views.role_list, name="desk_roles"),
    path("desk/<slug:slug>/roles/withdraw/", views.role_withdraw, name="desk_role_withdraw"),
    path("desk/<slug:slug>/mails/", views.mails, name="desk_mails"),
    path("desk/<slug:slug>/reports/", views.report_list, name="desk_reports"),
    path("desk/<slug:slug>/reports/<id:pk>/", views.report, name="desk_report"),
    path("desk/<slug:slug>/log/", views.log, name="desk_log"),
]
